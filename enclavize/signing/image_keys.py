"""Keys for image signatures: those that cosign verifies with, enclave keys among them.

RSA from 2048 bits (PKCS#1 v1.5 with SHA-256), ECDSA on P-256 (SHA-256, signatures in DER), Ed25519; in PEM
files. A verifier must know which key it is: nothing in an image signature tells.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol, TypeAlias

from enclavize.errors import IntegrityError, SigningRefusedError
from enclavize.oci.image_signature import ImageSignature
from enclavize.signing.image_payload import build_payload
from enclavize.signing.keys import doubts, read_private_key, read_public_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    ImagePublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
    ImagePrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

MIN_RSA_BITS = 2048


class ImageSigner(Protocol):
    """A holder of a key that signs images."""

    @property
    def public_key(self) -> ImagePublicKey: ...

    def sign_image(self, name: str, digest: str) -> bytes:
        """The signature of ``build_payload(name, digest)``, which the signer builds itself.

        Raises ``UsageError`` for what is no name or no digest.
        """
        ...


class LocalImageSigner:
    """Signs with a private key in this process."""

    def __init__(self, key: ImagePrivateKey) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path, passphrase: Callable[[], bytes] | None = None) -> LocalImageSigner:
        """Raises ``UsageError`` for a file that is no private key, ``SigningRefusedError`` for a key of
        another kind, one that every user can read, and one that everybody has.
        """
        key = read_private_key(path, passphrase)
        public_key = image_key(key.public_key(), str(path))
        for doubt in doubts(path, public_key):
            raise doubt
        return cls(key)  # type: ignore[arg-type]  # its public half is of a kind that has the right other half

    @property
    def public_key(self) -> ImagePublicKey:
        return self._key.public_key()

    def sign_image(self, name: str, digest: str) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256

        payload = build_payload(name, digest)
        match self._key:
            case RSAPrivateKey() as key:
                return key.sign(payload, PKCS1v15(), SHA256())
            case EllipticCurvePrivateKey() as key:
                return key.sign(payload, _ecdsa())
            case key:
                return key.sign(payload)


def _ecdsa() -> ECDSA:
    """RFC 6979, so that the same image and key give the same signature; with a nonce for older OpenSSL."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        return ECDSA(SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return ECDSA(SHA256())


def sign_image(signer: ImageSigner, name: str, digest: str) -> ImageSignature:
    """An image's signature; it is verified before it is used.

    Raises ``IntegrityError`` if the signer gives one that is not of this name and digest.
    """
    payload = build_payload(name, digest)
    signature = signer.sign_image(name, digest)
    if not is_signed_by(signer.public_key, payload, signature):
        raise IntegrityError("the signer does not give a signature of the image and its key")
    return ImageSignature(payload=payload, signature=signature)


def is_signed_by(key: ImagePublicKey, payload: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is one of ``payload`` and this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        match key:
            case RSAPublicKey():
                key.verify(signature, payload, PKCS1v15(), SHA256())
            case EllipticCurvePublicKey():
                key.verify(signature, payload, ECDSA(SHA256()))
            case _:
                key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def load_image_public_key(path: Path) -> ImagePublicKey:
    """Raises ``UsageError`` for a file that is no public key, ``SigningRefusedError`` for another kind."""
    return image_key(read_public_key(path), str(path))


def image_key(key: PublicKeyTypes, name: str) -> ImagePublicKey:
    """The key, if image signatures are made with its kind. Raises ``SigningRefusedError``."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    match key:
        case RSAPublicKey(key_size=size) if size >= MIN_RSA_BITS:
            return key
        case EllipticCurvePublicKey(curve=SECP256R1()) | Ed25519PublicKey():
            return key
        case _:
            raise SigningRefusedError(
                f"the key {name} cannot sign images",
                hint=f"Image signatures are RSA of at least {MIN_RSA_BITS} bits, ECDSA on P-256, or Ed25519.",
            )


def fingerprint(key: ImagePublicKey) -> str:
    """SHA-256 of the key as SubjectPublicKeyInfo in DER, in hex."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
