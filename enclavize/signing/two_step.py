"""Signing in two steps: the material leaves, a signature comes back, and is attached.

The first step needs no key, the second none that is private. In between anything that can make RSA PKCS#1
v1.5 signatures with SHA-256 signs the 256 bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from enclavize.errors import IntegrityError, UsageError
from enclavize.sgx.enclave_file import measure_enclave, read_signed
from enclavize.sgx.enclave_file.sign import read_enclave
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.sgx.structures import RSA_KEY_BYTES
from enclavize.signing.keys import check_sgx_key
from enclavize.signing.material import SigningMaterial

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from enclavize.sgx.enclave_file import EnclaveConfig, UnsignedEnclave
    from enclavize.sgx.measurement import Measurement

_MAX_FILE = 4096
"""Bytes: neither material nor a signature is longer."""


class Measured(Protocol):
    """An enclave that was measured, in whatever form it is."""

    @property
    def measurement(self) -> Measurement: ...


@dataclass(frozen=True, kw_only=True)
class Signable:
    """An enclave file, measured, and the date that its SIGSTRUCT has already; None where it has none."""

    enclave: UnsignedEnclave
    date: int | None

    @property
    def measurement(self) -> Measurement:
        return self.enclave.measurement

    def sigstruct(self, date: int) -> Sigstruct:
        """The SIGSTRUCT to be signed."""
        return Sigstruct(measurement=self.measurement, date=date)


def open_enclave(source: Path | bytes, config: EnclaveConfig | None = None) -> Signable:
    """Measures an enclave file.

    With ``config`` it is a file as the linker wrote it. Without, its own metadata is the configuration; its
    SIGSTRUCT must be that of the file, and may be signed or not. Raises ``InvalidEnclaveError``,
    ``IntegrityError``, ``UsageError``.
    """
    if config is not None:
        return Signable(enclave=measure_enclave(source, config), date=None)
    image, mode = read_enclave(source)
    try:
        prepared = read_signed(image)
    except InvalidEnclaveError as error:
        raise UsageError(
            f"the enclave has no configuration in it: {error}", hint="Give its Enclave.config.xml."
        ) from error
    return Signable(enclave=prepared.unsigned(mode), date=prepared.sigstruct.date)


def read_material(path: Path) -> SigningMaterial:
    """Raises ``UsageError`` if there is no such file, ``IntegrityError`` as ``parse_material``."""
    return parse_material(_read(path, "signing material"))


def read_signature(path: Path) -> bytes:
    """What is in a file; ``attach`` says whether it is a signature. Raises ``UsageError``."""
    return _read(path, "signature")


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}") from error


def parse_material(data: bytes) -> SigningMaterial:
    """Raises ``IntegrityError`` unless ``data`` are 256 bytes that a SIGSTRUCT can have."""
    try:
        return SigningMaterial(header_and_body=data)
    except IntegrityError as error:
        raise IntegrityError(f"the signing material is corrupted: {error}") from error


def attach(
    enclave: Measured, material: SigningMaterial, signature: bytes, public_key: RSAPublicKey
) -> Sigstruct:
    """The SIGSTRUCT of ``enclave`` with a signature over ``material``; the date is the material's.

    ``signature`` is 384 bytes, big-endian. Raises ``IntegrityError`` with the reason if the material is for
    another enclave or another configuration, or the signature is not of it and ``public_key``, and
    ``SigningRefusedError`` for a key that SGX does not take.
    """
    check_sgx_key(public_key, "that signed")
    expected = Sigstruct(measurement=enclave.measurement, date=material.sigstruct.date)
    material.check_describes(expected)
    _check_signature(material, signature, public_key)
    return expected.with_signature(signature, public_key)


def _check_signature(material: SigningMaterial, signature: bytes, public_key: RSAPublicKey) -> None:
    """Says what is wrong where it can be known; ``Sigstruct.with_signature`` verifies in the end."""
    if len(signature) != RSA_KEY_BYTES:
        raise IntegrityError(
            f"the signature is corrupted: it has {len(signature)} bytes, one of RSA-3072 has {RSA_KEY_BYTES}"
        )
    signed = _signed_digest(signature, public_key)
    if signed is None and _signed_digest(signature[::-1], public_key) is not None:
        raise IntegrityError("the signature has its bytes in reverse order: it must be big-endian")
    if signed is None:
        raise IntegrityError(
            "the signature was made with another key, or it is corrupted",
            hint="The public key must be that of the private key that signed, with SHA-256 and PKCS#1 v1.5.",
        )
    if signed != hashlib.sha256(material.header_and_body).digest():
        raise IntegrityError("the signature is of this key, but of other data than this signing material")


def _signed_digest(signature: bytes, public_key: RSAPublicKey) -> bytes | None:
    """The SHA-256 digest that was signed; None if this is no such signature of the key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        return public_key.recover_data_from_signature(signature, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return None
