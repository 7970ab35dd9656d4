"""Enclave signing keys: RSA-3072 with exponent 3, in PEM files.

A private key is PKCS#8 or PKCS#1, plain or encrypted; a public key SubjectPublicKeyInfo or PKCS#1. A file may
hold more than the one, and certificates: as OpenSSL's readers do, and so ``sgx_sign``, the first key of the
wanted kind is taken (PEM_read_bio_PrivateKey(3)).
"""

from __future__ import annotations

import hashlib
import re
import stat
from typing import TYPE_CHECKING

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.sgx.atomic_file import write_file
from enclavize.sgx.structures import RSA_EXPONENT, RSA_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

RSA_KEY_BITS = 8 * RSA_KEY_BYTES
_MAX_PEM_SIZE = 64 * 1024
_COSIGN_LABELS = (b"SIGSTORE PRIVATE KEY", b"COSIGN PRIVATE KEY")
_PEM_BLOCK = re.compile(
    rb"^-----BEGIN ([A-Z0-9 ]+)-----\s.*?^-----END \1-----[^\S\n]*$", re.DOTALL | re.MULTILINE
)
"""RFC 7468, section 3; group 1 is the label. What stands between blocks means nothing."""
_PRIVATE, _PUBLIC = b"PRIVATE KEY", b"PUBLIC KEY"
_HOW_TO_MAKE_A_KEY = "Make a key with: enclavize keygen KEY.pem"

# MRSIGNER of private keys that anybody can download: the SGX SDK's samples; Occlum's template is one of them.
_PUBLISHED_KEYS = {
    "3f9c8961f7043bb2c0f0ea848da8c47c43f0c811631f43b59e9ceb84fb31d128": "a sample key of the SGX SDK",
    "5e70caf3b3bb3b5dfaacfeaea8c2170d94e2f8c347b896f38640692b770e223f": "a template key of the SGX SDK",
    "60277ad2fdfc57e980e876e7f878ac1909880ea5380795a7e8ea98b157841f85": "a sample key of the SGX SDK",
    "83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e": "Occlum's and the SDK's template key",
    "9664d90755bd901069d4725cdd428038473d726f1cec0edf0d78e18a596b1d4e": "a test key of the SGX SDK",
    "c30446b4be9baf0f69728423ea613ef81a63e72acf7439fa0549001fd5482835": "a sample key of the SGX SDK",
    "fbbf17d6b0700e63ad55520f17ed6d2e06c2832217cd992bad243b5022ee83bc": "a test key of the SGX SDK",
}


def generate_key(path: Path) -> Path:
    """Writes a new private key to ``path`` (PKCS#8, mode 0600) and its public key beside it.

    Returns the public key's path. Raises ``UsageError`` if one of the two files exists: a lost key is a lost
    signer.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    public_path = public_key_path(path)
    for existing in (path, public_path):
        if existing.exists() or existing.is_symlink():
            raise UsageError(f"{existing} exists; a key is never overwritten", hint="Choose another name.")
    key = rsa.generate_private_key(public_exponent=RSA_EXPONENT, key_size=RSA_KEY_BITS)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        write_file(path, [pem], mode=0o600, replace=False)
        write_file(public_path, [public_key_pem(key.public_key())], mode=0o644, replace=False)
    except OSError as error:
        raise UsageError(f"cannot write the key {path}: {error.strerror}") from error
    return public_path


def public_key_path(path: Path) -> Path:
    """enclave-key.pem -> enclave-key.pub.pem."""
    return path.with_name(f"{path.stem}.pub.pem" if path.suffix == ".pem" else f"{path.name}.pub.pem")


def public_key_pem(key: RSAPublicKey) -> bytes:
    """SubjectPublicKeyInfo in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_private_key(
    path: Path, passphrase: Callable[[], bytes] | None = None, *, accept_doubtful: bool = False
) -> RSAPrivateKey:
    """Reads the key with which enclaves are signed.

    ``passphrase`` is asked only for an encrypted key. ``accept_doubtful`` lets pass what ``doubts`` finds,
    for tools that warn instead. Raises ``UsageError`` for a file that is no private key,
    ``SigningRefusedError`` for a key that SGX does not take or that is doubtful.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    key = read_private_key(path, passphrase)
    if not isinstance(key, RSAPrivateKey):
        raise SigningRefusedError(
            f"the key {path} is not an RSA key: SGX takes RSA-{RSA_KEY_BITS} only", hint=_HOW_TO_MAKE_A_KEY
        )
    check_sgx_key(key.public_key(), str(path))
    if not accept_doubtful:
        for doubt in doubts(path, key.public_key()):
            raise doubt
    return key


def load_public_key(path: Path) -> RSAPublicKey:
    """Reads a signer's public key. Raises as ``load_private_key`` does."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    key = read_public_key(path)
    if not isinstance(key, RSAPublicKey):
        raise SigningRefusedError(f"the key {path} is not an RSA key: SGX takes RSA-{RSA_KEY_BITS} only")
    check_sgx_key(key, str(path))
    return key


def read_private_key(path: Path, passphrase: Callable[[], bytes] | None = None) -> PrivateKeyTypes:
    """Reads a private key of whatever algorithm.

    Raises ``UsageError`` for a file that is none, ``SigningRefusedError`` for a wrong passphrase.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    label, pem = _read_pem(path, _PRIVATE)
    if label.endswith(_PUBLIC):
        raise UsageError(f"{path} is a public key; signing needs the private key")
    if label.endswith(_COSIGN_LABELS):
        raise UsageError(
            f"{path} is a private key in a format of cosign's own", hint="cosign signs with it; others cannot"
        )
    encrypted = b"ENCRYPTED" in pem
    if encrypted and passphrase is None:
        raise UsageError(f"the key {path} is encrypted, and no passphrase was given")
    secret = passphrase() if encrypted and passphrase else None
    try:
        # The numbers are not tested for primality (half a second): a signature is verified before it is used.
        return load_pem_private_key(pem, secret, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise SigningRefusedError(f"the passphrase does not open the key {path}") from error
        raise UsageError(f"{path} is no private key in PEM format", hint=_HOW_TO_MAKE_A_KEY) from error


def read_public_key(path: Path) -> PublicKeyTypes:
    """Reads a public key of whatever algorithm. Raises ``UsageError``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    label, pem = _read_pem(path, _PUBLIC)
    if label.endswith(_PRIVATE):
        raise UsageError(f"{path} is a private key; here the public key is wanted")
    if label == b"CERTIFICATE":
        raise UsageError(
            f"{path} is a certificate; here the public key is wanted",
            hint=f"openssl x509 -in {path} -noout -pubkey",
        )
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} is no public key in PEM format") from error


def check_sgx_key(key: RSAPublicKey, name: str) -> None:
    """Raises ``SigningRefusedError`` unless the key is RSA-3072 with exponent 3."""
    if key.key_size != RSA_KEY_BITS:
        raise SigningRefusedError(
            f"the key {name} has {key.key_size} bits: SGX takes {RSA_KEY_BITS} only", hint=_HOW_TO_MAKE_A_KEY
        )
    if (exponent := key.public_numbers().e) != RSA_EXPONENT:
        raise SigningRefusedError(
            f"the key {name} has the exponent {exponent}: SGX takes {RSA_EXPONENT} only",
            hint=_HOW_TO_MAKE_A_KEY,
        )


def doubts(path: Path, key: PublicKeyTypes) -> Iterator[SigningRefusedError]:
    """Reasons not to trust a private key that could be used all the same."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield SigningRefusedError(
            f"every user of this machine can read the private key {path}", hint=f"chmod 600 {path}"
        )
    if not isinstance(key, RSAPublicKey) or key.key_size != RSA_KEY_BITS:
        return
    if published := _PUBLISHED_KEYS.get(mrsigner(key).hex()):
        yield SigningRefusedError(
            f"the key {path} is {published}, which everybody has", hint=_HOW_TO_MAKE_A_KEY
        )


def mrsigner(key: RSAPublicKey) -> bytes:
    """SHA-256 of the modulus, 384 bytes little-endian (SDM 3D, EINIT)."""
    return hashlib.sha256(key.public_numbers().n.to_bytes(RSA_KEY_BYTES, "little")).digest()


def _read_pem(path: Path, wanted: bytes) -> tuple[bytes, bytes]:
    """Returns the first block whose label ends with ``wanted``, or else the first one, behind its label."""
    try:
        with path.open("rb") as file:
            pem = file.read(_MAX_PEM_SIZE + 1)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error
    if len(pem) > _MAX_PEM_SIZE:
        raise UsageError(f"{path} is no key in PEM format: it is larger than {_MAX_PEM_SIZE} bytes")
    blocks = [(block[1], block[0] + b"\n") for block in _PEM_BLOCK.finditer(pem.replace(b"\r\n", b"\n"))]
    for label, block in blocks:
        if label.endswith(wanted):
            return label, block
    return blocks[0] if blocks else (b"", pem)
