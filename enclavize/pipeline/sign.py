"""``enclavize sign``: signing in two steps, without a key on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.sgx.enclave_file import load_config, write_signed
from enclavize.signing.dates import tool_date
from enclavize.signing.keys import load_public_key
from enclavize.signing.two_step import attach, open_enclave, read_material, read_signature

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.signing.two_step import Measured, Signable


def enclave_material(path: Path, config: Path | None, date: str | None) -> bytes:
    """The 256 bytes to sign for an enclave file.

    Their date is ``date``, else the one that the file has already, else SOURCE_DATE_EPOCH, else today (UTC).
    """
    enclave = _open(path, config)
    if date is not None or enclave.date is None:
        return enclave.sigstruct(tool_date(date, os.environ)).signed_bytes()
    return enclave.sigstruct(enclave.date).signed_bytes()


def attach_to_enclave(
    path: Path, config: Path | None, *, material: Path, signature: Path, public_key: Path, output: Path
) -> Sigstruct:
    """Write the signed enclave file; its inputs stay as they are. Raises EnclavizeError with the reason."""
    for given in filter(None, (path, config, material, signature, public_key)):
        if given.resolve() == output.resolve():
            raise UsageError(f"{output} would be overwritten", hint="choose another name with -o")
    enclave = _open(path, config)
    signed = _attach(enclave, material, signature, public_key)
    write_signed(enclave.enclave, signed, output)
    return signed


def _open(path: Path, config: Path | None) -> Signable:
    return open_enclave(path, load_config(config) if config else None)


def _attach(enclave: Measured, material: Path, signature: Path, public_key: Path) -> Sigstruct:
    return attach(enclave, read_material(material), read_signature(signature), load_public_key(public_key))
