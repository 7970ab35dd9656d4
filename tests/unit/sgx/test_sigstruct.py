"""SIGSTRUCT: made, parsed and verified."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from enclavize.errors import EnclavizeError, IntegrityError, SigningRefusedError
from enclavize.sgx.sigstruct import Sigstruct, bcd_date
from enclavize.sgx.structures import REPORT_FIELDS, SECS_FIELDS, SIGSTRUCT_FIELDS, SIGSTRUCT_SIZE, TCS_FIELDS
from enclavize.signing.local import sign_sigstruct
from support.vectors import GRAMINE, INTEL, OCCLUM, cases, signer

FILES = [
    pytest.param((folder / (case.get("sigstruct") or case["sig"])), case, id=f"{folder.name}-{case['name']}")
    for folder in (INTEL, OCCLUM, GRAMINE)
    for case in cases(folder)
]
EXAMPLE = (INTEL / "cases/kss/sigstruct.bin").read_bytes()


@pytest.mark.parametrize(("path", "case"), FILES)
def test_reference_files_are_read_verified_and_written_again(path: Any, case: dict[str, Any]) -> None:
    data = path.read_bytes()
    sigstruct = Sigstruct.parse(data)
    sigstruct.verify()
    assert sigstruct.to_bytes() == data
    assert sigstruct.mrenclave.hex() == case["mrenclave"]
    assert sigstruct.mrsigner.hex() == case["mrsigner"]
    unsigned = Sigstruct.from_signed_bytes(sigstruct.signed_bytes())
    assert not unsigned.is_signed
    assert sign_sigstruct(unsigned, signer()).to_bytes() == data


@pytest.mark.parametrize("fields", [SIGSTRUCT_FIELDS, TCS_FIELDS, SECS_FIELDS, REPORT_FIELDS])
def test_fields_of_a_structure_do_not_overlap(fields: Any) -> None:
    ends = [field.offset + field.size for field in fields]
    assert all(end <= field.offset for end, field in zip(ends, fields[1:], strict=False))


def test_sigstruct_fields_leave_no_gap() -> None:
    assert sum(field.size for field in SIGSTRUCT_FIELDS) == SIGSTRUCT_SIZE


def test_any_flipped_byte_is_refused() -> None:
    for offset in range(SIGSTRUCT_SIZE):
        data = bytearray(EXAMPLE)
        data[offset] ^= 0x10
        with pytest.raises(IntegrityError):
            Sigstruct.parse(bytes(data)).verify()


@pytest.mark.parametrize("size", [0, 1807, 1809])
def test_wrong_sizes_are_refused(size: int) -> None:
    with pytest.raises(IntegrityError, match="1808 bytes"):
        Sigstruct.parse(EXAMPLE.ljust(size, b"\0")[:size])


@pytest.mark.parametrize("modulus", [b"\0" * 383 + b"\x80", b"\xff" * 384, b"\2" + b"\0" * 382 + b"\x80"])
def test_a_modulus_that_is_no_key_gives_a_typed_error(modulus: bytes) -> None:
    data = EXAMPLE[:128] + modulus + EXAMPLE[512:]
    with pytest.raises(EnclavizeError):
        Sigstruct.parse(data).verify()


def test_material_must_have_256_valid_bytes() -> None:
    material = Sigstruct.parse(EXAMPLE).signed_bytes()
    for bad in (material[:-1], material + b"\0", bytes(256), material[:50] + b"\1" + material[51:]):
        with pytest.raises(IntegrityError):
            Sigstruct.from_signed_bytes(bad)


def test_an_unsigned_sigstruct_does_not_verify() -> None:
    with pytest.raises(IntegrityError, match="not signed"):
        Sigstruct.from_signed_bytes(Sigstruct.parse(EXAMPLE).signed_bytes()).verify()


def test_a_signature_of_another_key_or_content_is_refused() -> None:
    signed = Sigstruct.parse(EXAMPLE)
    other = Sigstruct.parse((INTEL / "cases/heap/sigstruct.bin").read_bytes())
    key = signed.public_key()
    with pytest.raises(IntegrityError, match="does not fit"):
        signed.with_signature(other.signature[::-1], key)
    with pytest.raises(IntegrityError, match="384 bytes"):
        signed.with_signature(signed.signature[1:], key)
    with pytest.raises(IntegrityError):
        signed.with_signature(b"\xff" * 384, key)
    foreign = rsa.generate_private_key(public_exponent=3, key_size=3072).public_key()
    with pytest.raises(IntegrityError):
        signed.with_signature(signed.signature[::-1], foreign)


@pytest.mark.parametrize(("exponent", "bits", "message"), [(65537, 3072, "exponent"), (3, 2048, "bits")])
def test_keys_that_sgx_does_not_take_are_refused(exponent: int, bits: int, message: str) -> None:
    key = rsa.generate_private_key(public_exponent=exponent, key_size=bits).public_key()
    with pytest.raises(SigningRefusedError, match=message):
        Sigstruct.parse(EXAMPLE).with_signature(bytes(384), key)


def test_dates_are_bcd_numbers() -> None:
    assert bcd_date(dt.date(2026, 11, 23)) == 0x20261123
    assert bcd_date(dt.date(1, 2, 3)) == 0x00010203
