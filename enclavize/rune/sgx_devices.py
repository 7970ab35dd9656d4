"""The devices of SGX by the names that drivers have given them."""

from __future__ import annotations

import stat
from pathlib import Path

ENCLAVE_DEVICES = ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/isgx")
"""Linux since 5.11; Intel's DCAP driver; the legacy driver for launch control."""

PROVISION_DEVICES = ("/dev/sgx_provision", "/dev/sgx/provision")
"""Opening one allows enclaves that see the provisioning key, as attestation by DCAP needs them."""

AESM_SOCKET = Path("/var/run/aesmd/aesm.socket")
"""Of Intel's architectural enclave service."""


def present(paths: tuple[str, ...], root: Path = Path("/")) -> list[str]:
    """Return those that are character devices on this machine."""
    return [path for path in paths if _is_character_device(root / path.lstrip("/"))]


def _is_character_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False
