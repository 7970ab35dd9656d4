"""Two-step signing of enclave files: openssl in the middle, and every reason to refuse."""

from __future__ import annotations

import functools
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import EnclavizeError, IntegrityError, SigningRefusedError, UsageError
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave, write_signed
from enclavize.signing.keys import load_public_key
from enclavize.signing.material import SigningMaterial
from enclavize.signing.two_step import attach, open_enclave, parse_material
from support.vectors import INTEL, KEY, PUBLIC_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.signing.two_step import Signable

ENCLAVE = INTEL / "enclaves/enclave_a.so"
DATE = 0x20261123
OTHER_KEY = INTEL / "negative/TEST-ONLY-other.pem"


def sign(data: bytes, folder: Path, key: Path = KEY) -> bytes:
    (folder / "m.bin").write_bytes(data)
    command = ["openssl", "dgst", "-sha256", "-sign", str(key), "-out", "m.sig", "m.bin"]
    subprocess.run(command, check=True, cwd=folder)
    return (folder / "m.sig").read_bytes()


def material_of(config: EnclaveConfig, name: str = "enclave_a") -> bytes:
    signable = open_enclave(INTEL / f"enclaves/{name}.so", config)
    return signable.sigstruct(DATE).signed_bytes()


def test_openssl_in_the_middle_gives_the_vendors_file(tmp_path: Path) -> None:
    signable = open_enclave(ENCLAVE, EnclaveConfig())
    material = signable.sigstruct(DATE).signed_bytes()
    signed = attach(signable, parse_material(material), sign(material, tmp_path), load_public_key(PUBLIC_KEY))
    write_signed(signable.enclave, signed, tmp_path / "out.so")
    assert (tmp_path / "out.so").read_bytes() == (INTEL / "cases/default/signed.so").read_bytes()


def test_a_prepared_file_needs_no_configuration(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared.so"
    prepared.write_bytes(b"".join(measure_enclave(ENCLAVE, EnclaveConfig()).prepared_image(DATE)))
    signable = open_enclave(prepared)
    assert signable.date == DATE
    material = signable.sigstruct(DATE).signed_bytes()
    assert material == material_of(EnclaveConfig())
    signed = attach(signable, parse_material(material), sign(material, tmp_path), load_public_key(PUBLIC_KEY))
    write_signed(signable.enclave, signed, tmp_path / "out.so")
    assert (tmp_path / "out.so").read_bytes() == (INTEL / "cases/default/signed.so").read_bytes()


def test_a_prepared_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    image = bytearray(b"".join(measure_enclave(ENCLAVE, EnclaveConfig()).prepared_image(DATE)))
    code = image.index((ENCLAVE.read_bytes())[0x1000:0x1040])
    image[code] ^= 1
    with pytest.raises(EnclavizeError, match="measures"):
        open_enclave(bytes(image))


def test_an_enclave_without_metadata_needs_a_configuration() -> None:
    with pytest.raises(UsageError, match="no configuration"):
        open_enclave(ENCLAVE)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("other enclave", "for another enclave"),
        ("other configuration", "for another configuration.*isv_svn"),
        ("other key", "another key"),
        ("flipped signature", "another key, or it is corrupted"),
        ("short signature", "383 bytes"),
        ("reversed signature", "reverse order"),
        ("signature of other data", "of other data"),
        ("short material", "material is corrupted"),
        ("changed header", "material is corrupted"),
        ("changed hash", "for another enclave"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(case: str, message: str, tmp_path: Path) -> None:
    signable = open_enclave(ENCLAVE, EnclaveConfig())
    material = material_of(EnclaveConfig())
    signature = sign(material, tmp_path)
    match case:
        case "other enclave":
            material = material_of(EnclaveConfig(), "enclave_b")
            signature = sign(material, tmp_path)
        case "other configuration":
            material = material_of(EnclaveConfig(isv_svn=7))
            signature = sign(material, tmp_path)
        case "other key":
            signature = sign(material, tmp_path, OTHER_KEY)
        case "flipped signature":
            signature = signature[:9] + bytes([signature[9] ^ 1]) + signature[10:]
        case "short signature":
            signature = signature[:-1]
        case "reversed signature":
            signature = signature[::-1]
        case "signature of other data":
            signature = sign(b"something else", tmp_path)
        case "short material":
            material = material[:-1]
        case "changed header":
            material = b"\7" + material[1:]
        case _:
            material = material[:188] + bytes([material[188] ^ 1]) + material[189:]
    with pytest.raises(EnclavizeError, match=message):
        attach(signable, parse_material(material), signature, load_public_key(PUBLIC_KEY))


@given(st.binary(max_size=400) | st.binary(min_size=384, max_size=384))
def test_no_bytes_are_a_signature_by_chance(signature: bytes) -> None:
    material = SigningMaterial.of(opened().sigstruct(DATE))
    with pytest.raises(IntegrityError):
        attach(opened(), material, signature, load_public_key(PUBLIC_KEY))


@functools.cache
def opened() -> Signable:
    return open_enclave(ENCLAVE, EnclaveConfig())


def test_a_key_that_sgx_does_not_take_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    material = parse_material(material_of(EnclaveConfig()))
    with pytest.raises(SigningRefusedError, match="2048 bits"):
        attach(open_enclave(ENCLAVE, EnclaveConfig()), material, bytes(384), key)
