"""Keys that sign images; OpenSSL's command is the other side."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from enclavize.errors import IntegrityError, SigningRefusedError, UsageError
from enclavize.signing.image_keys import (
    LocalImageSigner,
    fingerprint,
    is_signed_by,
    load_image_public_key,
    sign_image,
)
from enclavize.signing.image_payload import build_payload
from support.programs import need
from support.vectors import KEY, PUBLIC_KEY, signer

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.signing.image_keys import ImagePrivateKey

_LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
SEALED = f"-----BEGIN {_LABEL}-----\nAA==\n-----END {_LABEL}-----\n"
IMAGE = "registry.example/app", f"sha256:{'5' * 64}"

KEYS: dict[str, ImagePrivateKey] = {
    "rsa2048": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa4096": rsa.generate_private_key(public_exponent=65537, key_size=4096),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def write(folder: Path, key: object, *, mode: int = 0o600) -> tuple[Path, Path]:
    private, public = folder / "key.pem", folder / "key.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]
    private.chmod(mode)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]
    return private, public


@pytest.mark.parametrize("kind", KEYS)
def test_openssl_verifies_what_each_kind_of_key_signs(tmp_path: Path, kind: str) -> None:
    need("openssl")
    private, public = write(tmp_path, KEYS[kind])
    made = sign_image(LocalImageSigner.from_file(private), *IMAGE)
    assert made.payload == build_payload(*IMAGE)
    (tmp_path / "payload").write_bytes(made.payload)
    (tmp_path / "signature").write_bytes(made.signature)
    verify = "dgst -sha256 -verify key.pub.pem -signature signature payload"
    if kind == "ed25519":
        verify = "pkeyutl -verify -rawin -pubin -inkey key.pub.pem -sigfile signature -in payload"
    subprocess.run(["openssl", *verify.split()], cwd=tmp_path, check=True, capture_output=True)
    key = load_image_public_key(public)
    assert is_signed_by(key, made.payload, made.signature)
    assert not is_signed_by(key, made.payload + b" ", made.signature)
    assert not is_signed_by(key, made.payload, made.signature[:-1])
    assert not is_signed_by(key, made.payload, bytes([made.signature[0] ^ 1]) + made.signature[1:])
    others = [other.public_key() for name, other in KEYS.items() if name != kind]
    assert not any(is_signed_by(other, made.payload, made.signature) for other in others)
    assert fingerprint(key) not in map(fingerprint, others)


def test_an_enclaves_key_signs_images_too() -> None:
    made = sign_image(signer(), *IMAGE)
    assert is_signed_by(load_image_public_key(PUBLIC_KEY), made.payload, made.signature)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        ec.generate_private_key(ec.SECP384R1()),
        ed448.Ed448PrivateKey.generate(),
    ],
)
def test_other_keys_are_refused(tmp_path: Path, key: object) -> None:
    private, public = write(tmp_path, key)
    with pytest.raises(SigningRefusedError, match="cannot sign images") as caught:
        LocalImageSigner.from_file(private)
    assert "P-256" in (caught.value.hint or "")
    with pytest.raises(SigningRefusedError, match="cannot sign images"):
        load_image_public_key(public)


def test_doubtful_keys_are_refused(tmp_path: Path) -> None:
    private, _ = write(tmp_path, KEYS["p256"], mode=0o644)
    with pytest.raises(SigningRefusedError, match="every user"):
        LocalImageSigner.from_file(private)
    private.write_bytes(KEY.read_bytes())
    private.chmod(0o600)
    assert LocalImageSigner.from_file(private).public_key == signer().public_key
    private.write_text(SEALED)
    with pytest.raises(UsageError, match="cosign's own"):
        LocalImageSigner.from_file(private)


def test_an_encrypted_key_is_opened_with_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    encryption = BestAvailableEncryption(b"secret")
    path.write_bytes(KEYS["p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)
    assert LocalImageSigner.from_file(path, lambda: b"secret").public_key == KEYS["p256"].public_key()
    with pytest.raises(SigningRefusedError, match="passphrase"):
        LocalImageSigner.from_file(path, lambda: b"wrong")


def test_a_signature_is_verified_before_it_is_used() -> None:
    class Liar(LocalImageSigner):
        def sign_image(self, name: str, digest: str) -> bytes:
            return super().sign_image(f"{name}s", digest)

    for key in KEYS.values():
        with pytest.raises(IntegrityError, match="does not give a signature"):
            sign_image(Liar(key), *IMAGE)
