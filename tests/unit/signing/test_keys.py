"""Signing keys: made, read, and refused with the reason."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing import keys
from enclavize.signing.keys import (
    doubts,
    generate_key,
    load_private_key,
    load_public_key,
    mrsigner,
    public_key_path,
)
from enclavize.signing.local import LocalSigner, sign_sigstruct
from enclavize.signing.material import SigningMaterial
from support.vectors import INTEL, KEY, PUBLIC_KEY

NEGATIVE = INTEL / "negative"
MRSIGNER = "1c473b2b83895d3a54181e49c26439eb0c4c9ed4170f85a1367f175dd8bb701a"


def private_copy(source: Path, folder: Path) -> Path:
    path = folder / "key.pem"
    path.write_bytes(source.read_bytes())
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "enclave-key.pem"
    generate_key(path)
    return path


def test_generated_key_is_private_and_has_its_public_key_beside_it(generated: Path) -> None:
    public = generated.with_name("enclave-key.pub.pem")
    assert generated.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in generated.parent.iterdir()) == [
        "enclave-key.pem",
        "enclave-key.pub.pem",
    ]
    key = load_private_key(generated)
    assert key.key_size == 3072
    assert key.public_key().public_numbers().e == 3
    assert mrsigner(load_public_key(public)) == mrsigner(key.public_key())
    text = subprocess.run(
        ["openssl", "rsa", "-in", generated, "-noout", "-check"], capture_output=True, check=True
    )
    assert b"ok" in text.stdout + text.stderr


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    for name in ("key.pem", "key.pub.pem"):
        existing = tmp_path / name
        existing.write_text("precious")
        with pytest.raises(UsageError, match="never overwritten"):
            generate_key(tmp_path / "key.pem")
        assert existing.read_text() == "precious"
        existing.unlink()
    (tmp_path / "key.pem").symlink_to("nowhere")
    with pytest.raises(UsageError, match="never overwritten"):
        generate_key(tmp_path / "key.pem")


def test_a_key_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the key"):
        generate_key(tmp_path / "missing" / "key.pem")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory, generated: Path) -> dict[str, str]:
    """Return PEM blocks: the key, its public key, others, a certificate, parameters, and text."""
    folder = tmp_path_factory.mktemp("blocks")
    other = folder / "other.pem"
    generate_key(other)
    make = ("openssl", "req", "-x509", "-new", "-key", other, "-subj", "/CN=x", "-days", "9")
    parameters = ("openssl", "ecparam", "-name", "prime256v1", "-genkey")
    return {
        "k": generated.read_text(),
        "p": public_key_path(generated).read_text(),
        "K": other.read_text(),
        "P": public_key_path(other).read_text(),
        "c": subprocess.run(make, check=True, capture_output=True, text=True).stdout,
        "e": subprocess.run(parameters, check=True, capture_output=True, text=True).stdout.partition(
            "-----BEGIN EC PRIVATE"
        )[0],
        "t": "Bag Attributes\n    friendlyName: PRIVATE KEY-----\n",
    }


@pytest.mark.parametrize("order", ["kp", "pk", "ck", "tckc", "kK", "pkP", "tkt", "ek", "kPp", "cpk", "Pk"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_private_key_among_others_is_the_one_that_openssl_takes(
    tmp_path: Path, blocks: dict[str, str], generated: Path, order: str, line_end: str
) -> None:
    path = tmp_path / "key.pem"
    path.write_text("".join(blocks[letter] for letter in order).replace("\n", line_end))
    path.chmod(0o600)
    modulus = subprocess.run(
        ["openssl", "rsa", "-in", path, "-noout", "-modulus"], check=True, capture_output=True, text=True
    ).stdout
    key = load_private_key(path)
    assert f"Modulus={key.public_key().public_numbers().n:X}\n" == modulus
    assert mrsigner(key.public_key()) == mrsigner(load_private_key(generated).public_key())


@pytest.mark.parametrize("order", ["kp", "pk", "cp", "pP", "tp", "kcp", "Kp"])
def test_a_public_key_among_others_is_the_one_that_openssl_takes(
    tmp_path: Path, blocks: dict[str, str], order: str
) -> None:
    path = tmp_path / "key.pem"
    path.write_text("".join(blocks[letter] for letter in order))
    command = ("openssl", "rsa", "-pubin", "-in", path, "-noout", "-modulus")
    modulus = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"Modulus={load_public_key(path).public_numbers().n:X}\n" == modulus


def test_a_file_without_the_wanted_key_says_what_it_is(tmp_path: Path, blocks: dict[str, str]) -> None:
    path = tmp_path / "key.pem"
    for order, reason in (
        ("p", "is a public key; signing"),
        ("c", "is no private key"),
        ("t", "is no private"),
    ):
        path.write_text("".join(blocks[letter] for letter in order))
        with pytest.raises(UsageError, match=reason):
            load_private_key(path)
    for order, reason in (
        ("k", "is a private key; here"),
        ("c", "is a certificate; here"),
        ("t", "is no public"),
    ):
        path.write_text("".join(blocks[letter] for letter in order))
        with pytest.raises(UsageError, match=reason):
            load_public_key(path)


def test_names_of_public_keys() -> None:
    assert public_key_path(Path("a/enclave-key.pem")) == Path("a/enclave-key.pub.pem")
    assert public_key_path(Path("a/key")) == Path("a/key.pub.pem")


@pytest.mark.parametrize("format_", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_encrypted_keys_ask_for_the_passphrase(
    generated: Path, tmp_path: Path, format_: PrivateFormat
) -> None:
    key = load_private_key(generated)
    path = tmp_path / "encrypted.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, format_, BestAvailableEncryption(b"secret")))
    path.chmod(0o600)
    assert mrsigner(load_private_key(path, lambda: b"secret").public_key()) == mrsigner(key.public_key())
    with pytest.raises(SigningRefusedError, match="does not open"):
        load_private_key(path, lambda: b"wrong")
    with pytest.raises(UsageError, match="is encrypted"):
        load_private_key(path)


def test_a_plain_key_does_not_ask(generated: Path, tmp_path: Path) -> None:
    def never() -> bytes:
        raise AssertionError("asked for a passphrase")

    key = load_private_key(generated, never)
    pkcs1 = tmp_path / "pkcs1.pem"
    pkcs1.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    pkcs1.chmod(0o600)
    load_private_key(pkcs1, never)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TEST-ONLY-k2048.pem", "2048 bits"),
        ("TEST-ONLY-k4096.pem", "4096 bits"),
        ("TEST-ONLY-k65537.pem", "exponent 65537"),
        ("TEST-ONLY-kec.pem", "not an RSA key"),
    ],
)
def test_keys_that_sgx_does_not_take_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(SigningRefusedError, match=message):
        load_private_key(private_copy(NEGATIVE / name, tmp_path))


def test_files_that_are_no_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a public key"):
        load_private_key(private_copy(PUBLIC_KEY, tmp_path))
    with pytest.raises(UsageError, match="No such file"):
        load_private_key(tmp_path / "missing.pem")
    path = tmp_path / "bad.pem"
    for content in (
        b"",
        b"text",
        os.urandom(100),
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(UsageError, match="no private key"):
            load_private_key(path)
        with pytest.raises(UsageError):
            load_public_key(path)
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(UsageError, match="larger"):
        load_private_key(path)


def test_a_key_that_everybody_can_read_is_refused(generated: Path, tmp_path: Path) -> None:
    path = private_copy(generated, tmp_path)
    path.chmod(0o644)
    with pytest.raises(SigningRefusedError, match="every user") as caught:
        load_private_key(path)
    assert "chmod 600" in str(caught.value.hint)
    load_private_key(path, accept_doubtful=True)
    path.chmod(0o640)
    load_private_key(path)


def test_a_published_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_PUBLISHED_KEYS", {MRSIGNER: "the key of the test vectors"})
    path = private_copy(KEY, tmp_path)
    with pytest.raises(SigningRefusedError, match="which everybody has"):
        load_private_key(path)
    assert len(list(doubts(path, load_public_key(PUBLIC_KEY)))) == 1


def test_public_keys_are_read_in_both_forms(generated: Path, tmp_path: Path) -> None:
    assert mrsigner(load_public_key(PUBLIC_KEY)).hex() == MRSIGNER
    key = load_private_key(generated).public_key()
    path = tmp_path / "pkcs1.pub.pem"
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.PKCS1))
    assert mrsigner(load_public_key(path)) == mrsigner(key)
    with pytest.raises(UsageError, match="is a private key"):
        load_public_key(generated)
    with pytest.raises(SigningRefusedError, match="exponent 65537"):
        load_public_key(NEGATIVE / "TEST-ONLY-k65537.pub.pem")


def test_a_signature_is_verified_before_it_is_used(generated: Path) -> None:
    unsigned = Sigstruct.from_signed_bytes((INTEL / "cases/default/gendata.bin").read_bytes())
    honest = LocalSigner(load_private_key(generated))
    signed = sign_sigstruct(unsigned, honest)
    signed.verify()
    assert signed.mrsigner == mrsigner(honest.public_key)

    class Liar(LocalSigner):
        def sign(self, material: SigningMaterial) -> bytes:
            other = replace(material.sigstruct, date=0x20000101)
            return super().sign(SigningMaterial.of(other))

    with pytest.raises(Exception, match="does not fit"):
        sign_sigstruct(unsigned, Liar(rsa.generate_private_key(public_exponent=3, key_size=3072)))
