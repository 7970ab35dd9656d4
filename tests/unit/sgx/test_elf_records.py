"""What pyelftools makes of records that nobody checked: whatever the bytes are, they come back."""

from __future__ import annotations

import random

import pytest

from enclavize.sgx.elf_records import EI_NIDENT, ELF64, HEADER_SIZE, IDENT, read_header, read_records


@pytest.mark.parametrize("form", ["Elf_Phdr", "Elf_Shdr", "Elf_Dyn"])
def test_any_bytes_are_a_record_that_is_written_as_it_was_read(form: str) -> None:
    record = getattr(ELF64, form)
    data = random.Random(form).randbytes(200 * record.sizeof())
    assert b"".join(record.build(found) for found in read_records(record, data)) == data


def test_any_header_is_written_as_it_was_read() -> None:
    source = random.Random(1)
    for _ in range(200):
        data = IDENT + source.randbytes(HEADER_SIZE - len(IDENT))
        assert ELF64.Elf_Ehdr.build(read_header(data))[EI_NIDENT:] == data[EI_NIDENT:]


@pytest.mark.parametrize("data", [b"", IDENT, b"\x7fELF\x01\x01\x01" + bytes(57), bytes(64)])
def test_what_is_no_header_is_none(data: bytes) -> None:
    assert read_header(data) is None


def test_a_rest_that_is_too_short_is_no_record() -> None:
    assert len(list(read_records(ELF64.Elf_Dyn, bytes(40)))) == 2
