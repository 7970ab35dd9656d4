"""Occlum's instances in a TEE image: Inclavare's layout, and the way back from the image.

    /run/rune/occlum_instance -> /.enclave/instance       ENCLAVE_RUNTIME_ARGS, from /run/rune

The files of both SEFS images are not listed in enclave.json: there is one for each file of the root, and the
MACs that the enclave is bound to stand for all of them.
"""

from __future__ import annotations

import re
import signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enclavize.errors import IntegrityError
from enclavize.libos.occlum import layout
from enclavize.libos.occlum.chain import MAX_CONFIGURATION, policy_of, read_chain
from enclavize.libos.occlum.mount_points import MOUNT_FILES, source_directories
from enclavize.libos.process_checks import check_health, check_stop_signal
from enclavize.libos.sdk_enclave import read_sdk_enclave
from enclavize.rootfs.names import printable
from enclavize.tee.instance import NO_HEALTH_CHECK, Start
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.libos.occlum.chain import BoundStart, Chain
    from enclavize.libos.occlum.sefs.structures import Records
    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.instance import MeasuredEnclave
    from enclavize.tee.policy import Policy

INSTANCE = "instance"
BUILD = f"{INSTANCE}/{layout.BUILD}"
ENCLAVE_PATH = f"{BUILD}/{layout.SIGNED_ENCLAVE}"
PAL_PATH = f"{BUILD}/{layout.PAL}"

WORKING_DIRECTORY = "/run/rune"
LINK_NAME = "occlum_instance"
LINKS = MappingProxyType({f"{WORKING_DIRECTORY[1:]}/{LINK_NAME}": f"/{ROOT}/{INSTANCE}"})
"""By which rune's users name the instance: path from the root of the image, and target."""

WRITABLE_DIRECTORIES = frozenset(f"{INSTANCE}/{path}" for path in layout.RUN_DIRECTORIES)

MAX_ENCLAVE_SIZE = 256 << 20
_MAX_PAL_SIZE = 64 << 20
_MAX_TEXT_SIZE = 1 << 20
_MAX_NODES_SIZE = 1 << 40

_LIMITS = {
    ENCLAVE_PATH: MAX_ENCLAVE_SIZE,
    PAL_PATH: _MAX_PAL_SIZE,
    f"{BUILD}/{layout.SYSTEM_CONFIGURATION}{layout.PROTECTED}": MAX_CONFIGURATION,
    f"{BUILD}/{layout.USER_CONFIGURATION}{layout.PROTECTED}": MAX_CONFIGURATION,
    f"{INSTANCE}/{layout.CONFIGURATION}": _MAX_TEXT_SIZE,
    f"{INSTANCE}/{layout.SGX_MODE}": _MAX_TEXT_SIZE,
    f"{INSTANCE}/{layout.STATUS}": _MAX_TEXT_SIZE,
}
_SIMULATION_SYMBOL = b"g_global_data_sim"
"""The SDK's runtime for simulation exports it, and its loader tells enclaves by it (psw/urts/parser)."""

_BEFORE_0_29_6 = f"{BUILD}/{layout.USER_CONFIGURATION}{layout.PROTECTED}"
_IMAGES = tuple(f"{BUILD}/{path}" for path in (layout.ROOT_IMAGE, layout.INIT_IMAGE))
_IMAGE_FILE = re.compile(rf"({'|'.join(map(re.escape, _IMAGES))})/(metadata|[0-9a-f]{{32}})", re.ASCII)

_STOP_SIGNALS = {int(number): number.name for number in (signal.SIGTERM, signal.SIGKILL)}
"""What Occlum takes from the host."""

INTEGRITY_ONLY = "integrity only: detects corruption, is no protection against whoever controls the host"
ENCRYPTED = "encrypted"


def occlum_start(bound: BoundStart, *, debug: bool) -> Start:
    """Return what an engine with rune as its runtime starts: the program inside the LibOS."""
    environment = [
        "ENCLAVE_TYPE=intelSgx",
        f"ENCLAVE_RUNTIME_PATH={WORKING_DIRECTORY}/{LINK_NAME}/{layout.BUILD}/{layout.PAL}",
        f"ENCLAVE_RUNTIME_ARGS={LINK_NAME}",
    ]
    if not debug:
        environment.append("OCCLUM_RELEASE_ENCLAVE=1")
    return Start(
        entrypoint=bound.entrypoint,
        health=NO_HEALTH_CHECK,  # Inclavare's rune starts nothing beside the program
        command=bound.command or None,
        environment=tuple(environment),
        working_directory=WORKING_DIRECTORY,
        user=bound.user,
        stop_signal=_STOP_SIGNALS.get(bound.stop_signal or 0),
    )


class OcclumFormat:
    """The instance in the last layer, the PAL in the one below; there are no other layers."""

    signature_path = ENCLAVE_PATH
    measures_marks = False
    required = frozenset(_LIMITS) - {_BEFORE_0_29_6} | {f"{image}/metadata" for image in _IMAGES}
    layers = 2
    writable_directories = WRITABLE_DIRECTORIES
    unlisted_directories = WRITABLE_DIRECTORIES | {f"{BUILD}/{layout.ROOT_IMAGE}"}
    links = LINKS
    mount_files = MOUNT_FILES

    def mount_directories(self, contents: TeeContents) -> frozenset[str]:
        """Return the sources of what is mounted. Raises EnclavizeError."""
        return source_directories(_chain(contents).app["mount"], LINKS)

    def limit(self, path: str) -> int | None:
        """Return the largest size of a file of the instance."""
        return _MAX_NODES_SIZE if _IMAGE_FILE.fullmatch(path) else _LIMITS.get(path)

    def describes(self, path: str) -> bool:
        """Say that the files of SEFS images are not listed."""
        return not _IMAGE_FILE.fullmatch(path)

    def is_shared(self, path: str) -> bool:
        """Say that of the PAL alone."""
        return path == PAL_PATH

    is_program = is_shared

    def is_written(self, path: str) -> bool:
        """Say that of SEFS images, which Occlum opens so although it does not write to them."""
        return bool(_IMAGE_FILE.fullmatch(path))

    def sigstruct(self, signature_file: bytes) -> Sigstruct:
        """Return SIGSTRUCT as it stands in the enclave file. Raises EnclavizeError."""
        from enclavize.sgx.enclave_file import read_signed

        return read_signed(signature_file).sigstruct

    def enclave(self, contents: TeeContents) -> tuple[MeasuredEnclave, Sigstruct]:
        """Measure the enclave again. Raises EnclavizeError."""
        return read_sdk_enclave(ENCLAVE_PATH, contents.read(ENCLAVE_PATH))

    def policy(self, contents: TeeContents) -> Policy:
        """Return what the measured configuration leaves to the host. Raises EnclavizeError."""
        return policy_of(_chain(contents).app)

    def start(self, contents: TeeContents) -> Start:
        """Return the program that the init file system names. Raises EnclavizeError."""
        return occlum_start(_bound_start(contents), debug=contents.description.debug)

    def check_process(self, config: ImageConfig, rootfs: Rootfs, contents: TeeContents) -> None:
        """Compare with what the init file system says, where it does. Raises IntegrityError."""
        bound = _bound_start(contents)
        if bound.user is not None and config.user != bound.user:
            raise IntegrityError(
                f"the image runs as {config.user[:60]!r}, the init file system says {bound.user!r}"
            )
        if bound.stop_signal is not None:
            check_stop_signal(config, bound.stop_signal)
        check_health(config, NO_HEALTH_CHECK)

    @property
    def own_files(self) -> Mapping[str, str]:
        """Return nothing: Inclavare's rune brings what starts the PAL."""
        return {}

    def libos_version(self, contents: TeeContents) -> str | None:
        """Return what ``enclave.json`` says."""
        return contents.description.libos_version

    def integrity_only(self, contents: TeeContents) -> str:
        """Tell whether the root image is not encrypted, or by a key that everybody has."""
        chain = _chain(contents)
        if not chain.encrypted:
            return "root file system: integrity only, no protection against a determined host"
        if chain.key_built_in:
            return "root file system: its key is in the image, no protection against a determined host"
        return ""

    def simulation(self, contents: TeeContents) -> bool:
        """Tell an enclave that is linked with the SDK's runtime for simulation. Raises EnclavizeError."""
        from enclavize.sgx.enclave_file.elf import parse_elf
        from enclavize.sgx.enclave_file.linking import exports

        return exports(parse_elf(contents.read(ENCLAVE_PATH)), _SIMULATION_SYMBOL)

    def argv(self, contents: TeeContents) -> tuple[str, ...]:
        """Return the program and its arguments that the init file system names. Raises EnclavizeError."""
        start = _chain(contents).start
        return (*start.entrypoint, *start.command) if start else ()

    def measured(self, contents: TeeContents) -> dict[str, Any]:
        """Return the measured configuration of the app's stage. Raises EnclavizeError."""
        chain = _chain(contents)
        return {
            "root_file_system": ENCRYPTED if chain.encrypted else INTEGRITY_ONLY,
            "root_mac": chain.root_mac.hex("-"),
            "init_mac": chain.init_mac.hex("-"),
            "entrypoint": list(chain.start.entrypoint) if chain.start else [],
            "command": list(chain.start.command) if chain.start else [],
            "configuration": dict(chain.app),
            "resource_limits": chain.system.get("resource_limits"),
            **({} if chain.init_ra is None else {"init_ra": dict(chain.init_ra)}),
        }

    def verify_instance(self, contents: TeeContents) -> None:
        """Verify every node of the init file system, and which root it leads to. Raises IntegrityError."""
        from enclavize.libos.occlum.sefs.image import stated_mac
        from enclavize.libos.occlum.sefs.keys import notation
        from enclavize.libos.occlum.sefs.unpack import verify

        mode = b"SIM\n" if self.simulation(contents) else b"HW\n"
        for name, text in ((layout.SGX_MODE, mode), (layout.STATUS, b"built\n")):  # for Occlum's own command
            if contents.read(f"{INSTANCE}/{name}") != text:
                raise IntegrityError(f"/{ROOT}/{INSTANCE}/{name} is not as a build writes it")
        chain = _chain(contents)
        init = verify(contents.path(f"{BUILD}/{layout.INIT_IMAGE}"), root_mac=chain.init_mac)
        _check_records(init.records, contents)
        stated = stated_mac(contents.path(f"{BUILD}/{layout.ROOT_IMAGE}"))
        if stated != chain.root_mac:
            raise IntegrityError(
                "the root file system is another one than the enclave is bound to: "
                f"the root MAC is {notation(stated)}, not {notation(chain.root_mac)}"
            )

    def verify_rootfs(self, rootfs: Rootfs, image: Image, contents: TeeContents, workdir: Path) -> None:
        """Verify every node of the root, and check that there is no other file. Raises IntegrityError.

        Without its key, of an encrypted root nothing but the MAC in its metadata file can be compared.
        """
        from enclavize.libos.occlum.sefs.unpack import verify

        chain = _chain(contents)
        if not chain.encrypted:
            found = verify(contents.path(f"{BUILD}/{layout.ROOT_IMAGE}"), root_mac=chain.root_mac)
            _check_records(found.records, contents)
        for entry in rootfs.entries[1:]:
            raise IntegrityError(f"{image.name} has /{printable(entry.path)}, which is not of the enclave")


def _bound_start(contents: TeeContents) -> BoundStart:
    start = _chain(contents).start
    if start is None:
        raise IntegrityError("the init file system does not say what the image was made to start")
    return start


def _check_records(found: Records, contents: TeeContents) -> None:
    """Refuse images that another release would mount. Raises IntegrityError, UsageError."""
    from enclavize.libos.occlum.versions import parse_release

    version = contents.description.libos_version
    if found != parse_release(version).sefs_records:
        raise IntegrityError(f"the file system images are not those of Occlum {printable(version)}")


def _chain(contents: TeeContents) -> Chain:
    from enclavize.sgx.enclave_file.elf import parse_elf

    return read_chain(parse_elf(contents.read(ENCLAVE_PATH)), contents.path(BUILD))
