"""The enclave in a bundle's root file system, and whether this node admits it.

The files are the image's, so they are opened without following a link. Nothing here is the last word: the PAL
measures the enclave again and verifies its signature before it runs.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.tee.layout import DESCRIPTION, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rune.settings import Settings
    from enclavize.tee.description import TeeDescription

RUNELETS = {"builtin": "runelet", "gramine": "runelet-gramine"}
"""The host's runelet for each LibOS, among the native components."""

_ENCLAVE_LIMIT = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Enclave:
    """Who signed the enclave, as what; ``debug`` if its memory can be read from outside."""

    libos: str
    mrenclave: bytes
    mrsigner: bytes
    isv_prod_id: int
    isv_svn: int
    debug: bool


def read_enclave(rootfs: Path) -> Enclave:
    """Read the description and the SIGSTRUCT below ``rootfs``. Raises EnclavizeError."""
    from enclavize.libos.formats import format_for

    description = read_description(rootfs)
    if description.libos not in RUNELETS:
        known = " and ".join(RUNELETS)
        raise EnclavizeError(f"rune cannot run the LibOS {description.libos} in this version, only {known}")
    form = format_for(description.libos)
    sigstruct = form.sigstruct(_read(rootfs, form.signature_path, _ENCLAVE_LIMIT))
    if not sigstruct.is_signed:
        raise EnclavizeError(
            "the TEE image is unsigned: no enclave can be started from it",
            hint="sign it: enclavize sign material, enclavize sign attach",
        )
    measurement = sigstruct.measurement
    return Enclave(
        libos=description.libos,
        mrenclave=sigstruct.mrenclave,
        mrsigner=sigstruct.mrsigner,
        isv_prod_id=measurement.isv_prod_id,
        isv_svn=measurement.isv_svn,
        debug=measurement.debuggable,
    )


def read_description(rootfs: Path) -> TeeDescription:
    """Read ``enclave.json`` below ``rootfs``. Raises InvalidImageError."""
    from enclavize.tee.description import MAX_DESCRIPTION_SIZE, parse_description

    return parse_description(_read(rootfs, DESCRIPTION, MAX_DESCRIPTION_SIZE))


def admit(enclave: Enclave, settings: Settings) -> None:
    """Compare with the administrator's policy. Raises EnclavizeError with what is wrong."""
    if settings.mrsigners and enclave.mrsigner not in settings.mrsigners:
        raise EnclavizeError(f"this node does not admit enclaves of signer {enclave.mrsigner.hex()}")
    if settings.product_ids and enclave.isv_prod_id not in settings.product_ids:
        raise EnclavizeError(f"this node does not admit product id {enclave.isv_prod_id}")
    if enclave.isv_svn < settings.min_isvsvn:
        raise EnclavizeError(
            f"this node admits security version {settings.min_isvsvn} and later, not {enclave.isv_svn}"
        )
    if enclave.debug and not settings.allow_debug:
        raise EnclavizeError("this node does not admit debug enclaves")


def _read(rootfs: Path, name: str, limit: int) -> bytes:
    """Read a regular file below ``/.enclave`` that no symbolic link leads to, of at most ``limit`` bytes."""
    path = (ROOT, *name.split("/"))
    directory = -1
    try:
        directory = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
        for part in path[:-1]:
            parent, directory = directory, -1
            try:
                directory = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            finally:
                os.close(parent)
        descriptor = os.open(path[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                raise InvalidImageError(f"/{ROOT}/{name} is not a regular file of at most {limit} bytes")
            return file.read(limit)
    except OSError as error:
        raise InvalidImageError(f"the TEE image has no readable /{ROOT}/{name}: {error.strerror}") from error
    finally:
        if directory >= 0:
            os.close(directory)
