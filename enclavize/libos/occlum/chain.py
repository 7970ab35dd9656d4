"""The chain from the enclave to its files, read back: every link is checked before what it says is used.

.builtin_config -> configuration -> MACs of both images    (from 0.29.6)
.builtin_config -> configuration -> MAC of init's image -> image_config.json -> second configuration
                   -> MAC of the root image                (before)
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError
from enclavize.libos.loader_names import is_loader_like
from enclavize.libos.occlum import layout
from enclavize.libos.occlum.init_ra import RA_CONFIGURATION
from enclavize.libos.occlum.section import read_mac
from enclavize.libos.occlum.sefs.image import SefsImage, states_encryption
from enclavize.libos.occlum.sefs.keys import notation, parse_notation
from enclavize.libos.occlum.sefs.protection import IntegrityOnly
from enclavize.libos.occlum.sefs.reader import ProtectedFile
from enclavize.oci.document import parse_document
from enclavize.tee.policy import AllowedVariable, Policy, Volume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO
    from pathlib import Path

    from enclavize.sgx.enclave_file.elf import EnclaveElf

MAX_CONFIGURATION = 4 << 20
"""Bytes of a configuration."""

START = b"etc/enclavize.json"
"""In the init file system: what the image is started with."""

_IMAGE_CONFIG = b"etc/image_config.json"
_INIT_FILES = (_IMAGE_CONFIG, layout.IMAGE_KEY, START, RA_CONFIGURATION)
_MAX_INIT_FILE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BoundStart:
    """What engines start, as a file of the init file system has it.

    ``user`` is ``uid:gid`` or "", who the process outside of the enclave is; ``stop_signal`` what ends it.
    None: the image was made before 0.2.0, which did not bind them.
    """

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str | None = None
    stop_signal: int | None = None

    def to_bytes(self) -> bytes:
        """Return the content of ``START``."""
        return json.dumps(asdict(self), indent=2).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What an enclave is bound to. ``system`` and ``app`` are the configurations of both stages.

    ``key_built_in``: the key of the root image is in the init file system, for everybody to read. ``init_ra``
    is the configuration of an init that gets it by remote attestation.
    """

    system: Mapping[str, Any]
    app: Mapping[str, Any]
    init_mac: bytes
    root_mac: bytes
    encrypted: bool
    key_built_in: bool
    start: BoundStart | None
    init_ra: Mapping[str, Any] | None


def read_chain(elf: EnclaveElf, build: Path) -> Chain:
    """Read what is in a folder ``build`` of an instance. Raises IntegrityError, EnclavizeError."""
    system = _configuration(build, layout.SYSTEM_CONFIGURATION, read_mac(elf))
    try:
        stages = {stage["stage"]: stage for stage in system["app"]} if "app" in system else None
        init = stages["init"] if stages else system
        init_mac = _image_mac(init)
        files = _init_files(build / layout.INIT_IMAGE, init_mac)
        image_config = _json(files[_IMAGE_CONFIG], "etc/image_config.json")
        if stages:
            app, env = stages["app"], system["env"]
        else:
            mac = parse_notation(image_config["occlum_json_mac"]) or b""
            app = _configuration(build, layout.USER_CONFIGURATION, mac)
            env = app["env"]
        return Chain(
            system=system,
            app={"entry_points": _texts(app["entry_points"]), "mount": app["mount"], "env": env},
            init_mac=init_mac,
            root_mac=_image_mac(app),
            encrypted=image_config["image_type"] == "encrypted"
            if "image_type" in image_config
            else states_encryption(build / layout.ROOT_IMAGE),
            key_built_in=layout.IMAGE_KEY in files or bool(image_config.get("key")),
            start=_start(files.get(START)),
            init_ra=_json(text, "etc/init_ra_conf.json") if (text := files.get(RA_CONFIGURATION)) else None,
        )
    except (KeyError, TypeError, AttributeError, IndexError, StopIteration) as error:
        raise IntegrityError("the measured configuration is not one of Occlum's") from error


def policy_of(app: Mapping[str, Any]) -> Policy:
    """Return what the host may influence, by the configuration of the app's stage. Raises IntegrityError.

    Occlum restricts neither the arguments of a program nor what it runs of the host's files, and takes
    resolv.conf, hosts and hostname from the host.
    """
    try:
        entry_points = _texts(app["entry_points"])
        names = sorted(set(_texts(app["env"]["untrusted"])))
        shared = [mount["target"] for mount in app["mount"] if mount["type"] == "hostfs"]
        volumes = sorted(_texts(shared))
    except (KeyError, TypeError) as error:
        raise IntegrityError("the measured configuration is not one of Occlum's") from error
    anything = "/" in entry_points
    return Policy(
        allow_arguments=True,
        allowed_environment=tuple(AllowedVariable(name=name, unsafe=is_loader_like(name)) for name in names),
        allow_any_exec=anything,
        allowed_exec=() if anything else tuple((path,) for path in sorted(entry_points)),
        volumes=tuple(Volume(path=path, executable=True) for path in volumes),
        allow_host_network_files=True,
    )


def _start(text: bytes | None) -> BoundStart | None:
    if text is None:
        return None
    found = _json(text, START.decode())
    user, stop_signal = found.get("user"), found.get("stop_signal")
    if not isinstance(user, str | None) or not isinstance(stop_signal, int | None):
        raise IntegrityError(f"{START.decode()} of the init file system is not as a build writes it")
    return BoundStart(
        entrypoint=tuple(_texts(found["entrypoint"])),
        command=tuple(_texts(found["command"])),
        user=user,
        stop_signal=stop_signal,
    )


def _configuration(build: Path, name: str, mac: bytes) -> dict[str, Any]:
    """Read a protected configuration that must have a MAC."""
    path = build / f"{name}{layout.PROTECTED}"
    try:
        with path.open("rb", buffering=0) as stream:
            return _json(_content(stream, path.name, mac), path.name)
    except OSError as error:
        raise EnclavizeError(f"cannot read {path}: {error.strerror}") from error
    except IntegrityError as error:
        raise IntegrityError(f"{path.name}: {error}", hint=error.hint) from error


def _content(stream: FileIO, name: str, mac: bytes) -> bytes:
    if os.fstat(stream.fileno()).st_size > MAX_CONFIGURATION:
        raise IntegrityError("it is too large")
    file = ProtectedFile(stream, name.encode(), IntegrityOnly())
    if file.mac != mac:
        raise IntegrityError(f"its MAC is {notation(file.mac)}, the enclave wants {notation(mac)}")
    return file.content()


def _init_files(folder: Path, mac: bytes) -> dict[bytes, bytes]:
    """Return the small files that say how the root is mounted and what is started, by path."""
    found = {}
    for member in SefsImage(folder, None, mac).members():
        if member.path in _INIT_FILES and member.inode.size <= _MAX_INIT_FILE:
            found[member.path] = b"".join(map(bytes, member.pieces()))
    return found


def _image_mac(stage: Mapping[str, Any]) -> bytes:
    """Return the MAC of the image that a stage mounts as its root."""
    root = next(mount for mount in stage["mount"] if mount["target"] == "/")
    layer = next(layer for layer in root["options"]["layers"] if "MAC" in layer.get("options", {}))
    mac = parse_notation(layer["options"]["MAC"])
    if mac is None:
        raise IntegrityError("the measured configuration has a MAC that is none")
    return mac


def _json(text: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object, of which Occlum reads the same."""
    try:
        return dict(parse_document(text, what).members)
    except InvalidImageError as error:
        raise IntegrityError(str(error)) from error


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise IntegrityError("the measured configuration is not one of Occlum's")
    return value
