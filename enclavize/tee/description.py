"""``/.enclave/enclave.json``: what a TEE image says about itself, for tools. Nothing in it is trusted.

{
  "version": 2,
  "generator": "enclavize/0.1.0",
  "libos": {"name": "builtin", "version": "0.1.0"},
  "mrenclave": HEX, "mrsigner": HEX or null, "isvprodid": 0, "isvsvn": 0, "debug": false,
  "simulation": true,                                          absent in images that run on hardware
  "argv": [TEXT, ..],                                          not in version 1
  "left_out": [PATTERN, ..],                                   absent where the enclave has all files
  "files": {PATH: {"size": BYTES, "sha256": HEX}, ...},        below /.enclave/, without this one
  "policy": {"args": false, "env": [{"name": .., "unsafe": ..}], "exec": true | [[ARG, ..], ..],
             "volumes": [{"path": .., "readonly": .., "exec": ..}], "host_network_files": false,
             "network": "loopback" | "all"}       absent: none; of other LibOSes: what the host gives
}
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.oci.document import Document, parse_document
from enclavize.tee.layout import FORMAT_VERSION, FORMAT_VERSIONS, MAX_DESCRIPTION_SIZE
from enclavize.tee.policy import AllowedVariable, Network, Policy, Volume

if TYPE_CHECKING:
    from collections.abc import Mapping

_ARGV_SINCE = 2
_LIBOS_WITH_NETWORK = "builtin"
"""Its images had no sockets before they had this member: without it there are none."""
_NAMED_NETWORKS = (Network.LOOPBACK, Network.ALL)
_MAX_FILES = 1024
_MAX_FILE_SIZE = 1 << 40
_HASH = re.compile(r"[0-9a-f]{64}")
_WHAT = "/.enclave/enclave.json"


@dataclass(frozen=True, kw_only=True)
class DescribedFile:
    """Size in bytes and SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TeeDescription:
    """The content of ``enclave.json``. ``mrenclave`` and ``mrsigner`` are in hex; None: it is unsigned.

    ``argv`` is the measured entrypoint and command, as far as the host does not give them; in version 1 it
    is None.
    """

    version: int = FORMAT_VERSION
    generator: str
    libos: str
    libos_version: str
    mrenclave: str
    mrsigner: str | None
    isv_prod_id: int
    isv_svn: int
    debug: bool
    simulation: bool = False
    argv: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()
    files: Mapping[str, DescribedFile]
    policy: Policy

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "version": self.version,
            "generator": self.generator,
            "libos": {"name": self.libos, "version": self.libos_version},
            "mrenclave": self.mrenclave,
            "mrsigner": self.mrsigner,
            "isvprodid": self.isv_prod_id,
            "isvsvn": self.isv_svn,
            "debug": self.debug,
            **({"simulation": True} if self.simulation else {}),
            **({} if self.argv is None else {"argv": list(self.argv)}),
            **({"left_out": list(self.left_out)} if self.left_out else {}),
            "files": {
                path: {"size": file.size, "sha256": file.sha256} for path, file in sorted(self.files.items())
            },
            "policy": policy_to_json(self.policy),
        }

    def to_bytes(self) -> bytes:
        """Return the file."""
        return json.dumps(self.to_json(), indent=2).encode() + b"\n"


def parse_description(data: bytes) -> TeeDescription:
    """Parse ``enclave.json``; unknown members are refused. Raises InvalidImageError."""
    if len(data) > MAX_DESCRIPTION_SIZE:
        raise InvalidImageError(f"{_WHAT} is larger than {MAX_DESCRIPTION_SIZE} bytes")
    document = parse_document(data, _WHAT)
    version = document.members.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version not in FORMAT_VERSIONS:
        raise InvalidImageError(
            f"{_WHAT} has version {version!r}; this version of enclavize knows 1 to {FORMAT_VERSION}"
        )
    has_argv = version >= _ARGV_SINCE
    _only(
        document,
        "version generator libos mrenclave mrsigner isvprodid isvsvn debug simulation left_out files policy"
        + (" argv" if has_argv else ""),
    )
    libos, files = _object(document, "libos"), _object(document, "files")
    _only(libos, "name version")
    if len(files.members) > _MAX_FILES:
        raise files.wrong("files", f"of at most {_MAX_FILES} members")
    return TeeDescription(
        version=version,
        generator=document.text("generator"),
        libos=libos.text("name"),
        libos_version=libos.text("version"),
        mrenclave=_hash(document, "mrenclave"),
        mrsigner=_hash_or_null(document, "mrsigner"),
        isv_prod_id=document.number("isvprodid", maximum=0xFFFF),
        isv_svn=document.number("isvsvn", maximum=0xFFFF),
        debug=_switch(document, "debug"),
        simulation="simulation" in document.members and _switch(document, "simulation"),
        argv=_argv(document) if has_argv else None,
        left_out=document.texts("left_out") if "left_out" in document.members else (),
        files={path: _file(_object(files, path)) for path in files.members},
        policy=_policy(_object(document, "policy"), libos.text("name")),
    )


def policy_to_json(policy: Policy) -> dict[str, Any]:
    """Return the JSON form of a policy."""
    return {
        "args": policy.allow_arguments,
        "env": [{"name": item.name, "unsafe": item.unsafe} for item in policy.allowed_environment],
        "exec": True if policy.allow_any_exec else [list(arguments) for arguments in policy.allowed_exec],
        "volumes": [
            {"path": volume.path, "readonly": volume.read_only, "exec": volume.executable}
            for volume in policy.volumes
        ],
        "host_network_files": policy.allow_host_network_files,
        **({"network": policy.network.value} if policy.network in _NAMED_NETWORKS else {}),
    }


def _policy(document: Document, libos: str) -> Policy:
    _only(document, "args env exec volumes host_network_files network")
    any_exec = document.members.get("exec") is True
    commands = [] if any_exec else document.members.get("exec")
    if not isinstance(commands, list):
        raise document.wrong("exec", "true or a list")
    return Policy(
        allow_arguments=_switch(document, "args"),
        allowed_environment=tuple(
            AllowedVariable(name=item.text("name"), unsafe=_switch(item, "unsafe"))
            for item in document.documents("env")
        ),
        allow_any_exec=any_exec,
        allowed_exec=tuple(
            Document({"command": command}, f"{_WHAT}, exec").texts("command") for command in commands
        ),
        volumes=tuple(
            Volume(
                path=item.text("path"), read_only=_switch(item, "readonly"), executable=_switch(item, "exec")
            )
            for item in document.documents("volumes")
        ),
        allow_host_network_files=_switch(document, "host_network_files"),
        network=_network(document, libos),
    )


def _network(document: Document, libos: str) -> Network | None:
    if "network" not in document.members:
        return Network.NONE if libos == _LIBOS_WITH_NETWORK else None
    for network in _NAMED_NETWORKS:
        if document.text("network") == network:
            return network
    raise document.wrong("network", " or ".join(_NAMED_NETWORKS))


def _file(document: Document) -> DescribedFile:
    _only(document, "size sha256")
    return DescribedFile(
        size=document.number("size", maximum=_MAX_FILE_SIZE), sha256=_hash(document, "sha256")
    )


def _object(document: Document, key: str) -> Document:
    found = document.document(key)
    if found is None:
        raise document.wrong(key, "an object")
    return found


def _hash(document: Document, key: str) -> str:
    text = document.text(key)
    if not _HASH.fullmatch(text):
        raise document.wrong(key, "a SHA-256 in hex")
    return text


def _hash_or_null(document: Document, key: str) -> str | None:
    return None if document.members.get(key, "") is None else _hash(document, key)


def _argv(document: Document) -> tuple[str, ...]:
    if document.members.get("argv") is None:
        raise document.wrong("argv", "a list of text")
    return document.texts("argv")


def _switch(document: Document, key: str) -> bool:
    value = document.members.get(key)
    if not isinstance(value, bool):
        raise document.wrong(key, "true or false")
    return value


def _only(document: Document, keys: str) -> None:
    for key in document.members.keys() - set(keys.split()):
        raise InvalidImageError(f"{document.what}: {key[:100]!r} is unknown")
