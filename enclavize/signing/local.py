"""Signers: who turns signing material into a signature.

A signer has two operations and no third: SIGSTRUCTs, and images by name and digest. Nothing else is ever
signed, no digest and no bytes of somebody's choice, since both are signed with one key and one algorithm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from enclavize.signing.image_payload import build_payload
from enclavize.signing.keys import load_private_key
from enclavize.signing.material import SigningMaterial

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    from enclavize.sgx.sigstruct import Sigstruct


class Signer(Protocol):
    """A holder of an enclave signing key."""

    @property
    def public_key(self) -> RSAPublicKey: ...

    def sign(self, material: SigningMaterial) -> bytes:
        """RSA PKCS#1 v1.5, SHA-256, of ``material.header_and_body``: 384 bytes, big-endian."""
        ...

    def sign_image(self, name: str, digest: str) -> bytes:
        """The same of ``image_payload.build_payload(name, digest)``, which the signer builds itself.

        Raises ``UsageError`` for what is no name or no digest.
        """
        ...


class LocalSigner:
    """Signs with a private key in this process."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path, passphrase: Callable[[], bytes] | None = None) -> LocalSigner:
        return cls(load_private_key(path, passphrase))

    @property
    def public_key(self) -> RSAPublicKey:
        return self._key.public_key()

    def sign(self, material: SigningMaterial) -> bytes:
        return self._sign(material.header_and_body)

    def sign_image(self, name: str, digest: str) -> bytes:
        return self._sign(build_payload(name, digest))

    def _sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(data, PKCS1v15(), SHA256())


def sign_sigstruct(sigstruct: Sigstruct, signer: Signer, description: str = "") -> Sigstruct:
    """``sigstruct`` signed by ``signer``; the signature is verified before it is used."""
    signature = signer.sign(SigningMaterial.of(sigstruct, description))
    return sigstruct.with_signature(signature, signer.public_key)
