"""An init that gets the image key, and files with secrets, by remote attestation: ``--init-ra grpc_ratls``.

Before it mounts the root it asks a key service for the secret ``image_key``, over TLS with attested
certificates, and for those that its configuration names; these it writes into the root. The configuration is
in the init file system, which is measured.

Source: tools/occlum (gen_initfs_grpc_ratls) and tools/init_grpc_ratls of occlum/occlum, 0.29.6 to 0.31.0.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError, UsageError
from enclavize.libos.occlum.tree_builder import data_file, toolchain_file
from enclavize.libos.occlum.versions import Change
from enclavize.oci.document import parse_document
from enclavize.rootfs.names import path_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from enclavize.libos.occlum.tree_builder import TreeBuilder
    from enclavize.libos.occlum.versions import Release
    from enclavize.libos.toolchain import Toolchain

GRPC_RATLS = "grpc_ratls"
RA_CONFIGURATION = b"etc/init_ra_conf.json"
"""In the init file system."""
CLIENT = b"lib/libgrpc_ratls_client.so"

KMS_SERVER = "OCCLUM_INIT_RA_KMS_SERVER"
"""The variable that goes before ``kms_server`` of the configuration."""

MAX_SIZE = 1 << 20

_INIT = "initfs/bin/init_grpc_ratls"
_LIBRARIES = ("libgrpc_ratls_client.so", "libhw_grpc_proto.so", "libocclum_dcap.so.0.1.0")
_LIBCJSON = "musl/libcjson.so.1"

_SERVER = re.compile(r"[^\s\0:/]+:\d{1,5}", re.ASCII)
_MEASUREMENT = re.compile(r"([0-9a-fA-F]{64})?", re.ASCII)
_U32_MAX = 0xFFFF_FFFF
_VERIFIED = {
    "verify_mr_enclave": "mr_enclave",
    "verify_mr_signer": "mr_signer",
    "verify_isv_prod_id": "isv_prod_id",
    "verify_isv_svn": "isv_svn",
    "verify_config_svn": "config_svn",
    "verify_enclave_debuggable": "debuggable",
}
"""What is compared of the key service's enclave, and where the value to compare with stands."""


NOT_VERIFIED = (
    "nothing of the key service is compared (ra_config of init_ra_conf.json): any enclave that answers at "
    "its address gives the keys"
)


@dataclass(frozen=True, kw_only=True)
class RaConfiguration:
    """An init_ra_conf.json that was checked: its text, and the files that secrets are written to."""

    text: bytes
    files: tuple[str, ...]
    verifies: bool
    """Whether anything of the key service is compared: nothing is in Occlum's template."""


def template() -> bytes:
    """Return a configuration to be filled in: it does not pass the check as it is."""
    document = {
        "kms_server": "localhost:50051",
        "kms_keys": [],
        "ra_config": {
            **dict.fromkeys(_VERIFIED, "off"),
            "verify_mr_signer": "on",
            "verify_enclave_debuggable": "on",
            "sgx_mrs": [
                {
                    "mr_enclave": "",
                    "mr_signer": "",
                    "isv_prod_id": 0,
                    "isv_svn": 0,
                    "config_svn": 0,
                    "debuggable": False,
                }
            ],
        },
    }
    return json.dumps(document, indent=4).encode() + b"\n"


def parse_ra_configuration(text: bytes, what: str) -> RaConfiguration:
    """Check an init_ra_conf.json; ``what`` names it. Raises UsageError with all that is wrong."""
    if len(text) > MAX_SIZE:
        raise UsageError(f"{what} has more than {MAX_SIZE} bytes")
    try:
        document = dict(parse_document(text, what).members)
    except InvalidImageError as error:
        raise UsageError(str(error)) from error
    if found := list(_problems(document)):
        rest = "".join(f"\n  {problem}" for problem in found[1:])
        raise UsageError(f"{what}: {found[0]}{rest}", hint="see docs/occlum.md, section 4")
    return RaConfiguration(
        text=text,
        files=tuple(key["path"] for key in document["kms_keys"]),
        verifies=any(document["ra_config"][name] == "on" for name in _VERIFIED),
    )


def load_ra_configuration(path: Path) -> RaConfiguration:
    """Read and check a file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return parse_ra_configuration(file.read(MAX_SIZE + 1), str(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def require_release(release: Release) -> None:
    """Raises UsageError for a release that has no such init."""
    if not release.has(Change.ONE_CONFIGURATION):
        raise UsageError(
            f"--init-ra: Occlum {release} has no init for remote attestation; 0.29.6 and later have",
            hint="take a newer toolchain, or put an init of your own in place of the toolchain's",
        )


def put_init(tree: TreeBuilder, toolchain: Toolchain) -> None:
    """Put the init and its libraries into the init file system. Raises UsageError for missing files."""
    tree.put(b"bin/init", toolchain_file(toolchain.require(_INIT)))
    for name in _LIBRARIES:
        tree.put(b"lib/" + name.encode(), toolchain_file(toolchain.require(f"{GRPC_RATLS}/{name}")))
    toolchain.require(_LIBCJSON)  # goes with the other libraries of musl


def put_configuration(tree: TreeBuilder, text: bytes) -> None:
    """Put the configuration there, too."""
    tree.put(RA_CONFIGURATION, data_file(text))


def folder_problems(tree: TreeBuilder, files: Iterable[str]) -> Iterator[str]:
    """Yield files of secrets whose folder the root file system does not have: init does not go on then."""
    for path in files:
        if tree.find_directory(path_bytes(posixpath.dirname(path)).strip(b"/")) is None:
            yield f"init_ra_conf.json: {path} is to be written to, and there is no folder for it in the image"


def _problems(document: dict[str, Any]) -> Iterator[str]:
    yield from _members(document, ("kms_server", "kms_keys", "ra_config"), "")
    server = document.get("kms_server")
    if "kms_server" in document and not (isinstance(server, str) and _SERVER.fullmatch(server)):
        yield "kms_server is not of the form HOST:PORT"
    keys = document.get("kms_keys", [])
    if not isinstance(keys, list):
        yield "kms_keys is not an array"
        keys = []
    for index, key in enumerate(keys):
        yield from _key_problems(key, f"kms_keys[{index}]")
    if isinstance(compared := document.get("ra_config", {}), dict):
        if "ra_config" in document:
            yield from _compared_problems(compared)
    else:
        yield "ra_config is not an object"


def _key_problems(key: object, where: str) -> Iterator[str]:
    if not isinstance(key, dict):
        yield f"{where} is not an object"
        return
    yield from _members(key, ("key", "path"), f"{where}.")
    name, path = key.get("key", "-"), key.get("path", "/-")
    if not isinstance(name, str) or not name or "\0" in name:
        yield f"{where}.key is no name of a secret"
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path or path.endswith("/"):
        yield f"{where}.path is no absolute path of a file"


def _compared_problems(config: dict[str, Any]) -> Iterator[str]:
    yield from _members(config, (*_VERIFIED, "sgx_mrs"), "ra_config.")
    for name in _VERIFIED:
        if config.get(name, "on") not in ("on", "off"):
            yield f'ra_config.{name} is neither "on" nor "off"'
    enclaves = config.get("sgx_mrs", [{}])
    if not isinstance(enclaves, list) or not all(isinstance(item, dict) for item in enclaves):
        yield "ra_config.sgx_mrs is not an array of objects"
        return
    if not enclaves:
        yield "ra_config.sgx_mrs is empty: no key service would do"
    for index, enclave in enumerate(enclaves):
        yield from _enclave_problems(enclave, config, f"ra_config.sgx_mrs[{index}]")


def _enclave_problems(enclave: dict[str, Any], config: dict[str, Any], where: str) -> Iterator[str]:
    yield from _members(enclave, tuple(_VERIFIED.values()), f"{where}.")
    for verify, name in _VERIFIED.items():
        if name not in enclave:
            continue
        value = enclave[name]
        if name in {"mr_enclave", "mr_signer"}:
            if not isinstance(value, str) or not _MEASUREMENT.fullmatch(value):
                yield f"{where}.{name} has not 64 hexadecimal digits"
            elif not value and config.get(verify) == "on":
                yield f"{where}.{name} is empty, and ra_config.{verify} is on"
        elif name == "debuggable":
            if not isinstance(value, bool):
                yield f"{where}.{name} is neither true nor false"
        elif not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _U32_MAX:
            yield f"{where}.{name} is no number of 32 bits"


def _members(found: dict[str, Any], wanted: tuple[str, ...], where: str) -> Iterator[str]:
    yield from (f"{where}{name} is missing" for name in wanted if name not in found)
    yield from (f"{where}{name[:60]!r} is unknown" for name in found if name not in wanted)
