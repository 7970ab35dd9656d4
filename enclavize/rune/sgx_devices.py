"""The devices of SGX by the names that drivers have given them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from enclavize.errors import UsageError
from enclavize.rune.mode import ENCLAVE_DEVICES

PROVISION_DEVICES = ("/dev/sgx_provision", "/dev/sgx/provision")
"""Opening one allows enclaves that see the provisioning key, as attestation by DCAP needs them."""

AESM_SOCKET = Path("/var/run/aesmd/aesm.socket")
"""Of Intel's architectural enclave service."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A character device of this machine."""

    path: str
    major: int
    minor: int


def sgx_device(path: str) -> Device:
    """Return what ``--device PATH`` names. Raises UsageError: enclaves use no other devices of the host."""
    known = (*ENCLAVE_DEVICES, *PROVISION_DEVICES)
    if path not in known:
        raise UsageError(
            f"--device {path}: an enclave uses no devices of the host but SGX's",
            hint=f"one of {', '.join(known)}",
        )
    try:
        status = Path(path).stat()
    except OSError as error:
        raise UsageError(f"--device {path}: {error.strerror}", hint="enclavize doctor") from error
    if not stat.S_ISCHR(status.st_mode):
        raise UsageError(f"--device {path}: not a character device")
    return Device(path=path, major=os.major(status.st_rdev), minor=os.minor(status.st_rdev))


def present(paths: tuple[str, ...], root: Path = Path("/")) -> list[str]:
    """Return those that are character devices on this machine."""
    return [path for path in paths if _is_character_device(root / path.lstrip("/"))]


def _is_character_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False
