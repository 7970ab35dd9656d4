"""MRENCLAVE: the bulk forms equal the leaves one by one."""

from __future__ import annotations

import hashlib
import os
import struct

import pytest

from enclavize.sgx.measurement import MrenclaveHasher

PAGE = 4096
STARTS = [0, 3 * PAGE, 4095 * PAGE, 2**32 - 10 * PAGE, 2**36 - 2 * PAGE, 2**63]


def one_by_one(start: int, flags: int, pages: list[bytes | None]) -> bytes:
    hasher = MrenclaveHasher()
    for index, page in enumerate(pages):
        offset = start + index * PAGE
        hasher.eadd(offset, flags)
        for chunk in range(0, PAGE if page is not None else 0, 256):
            assert page is not None
            hasher.eextend(offset + chunk, page[chunk : chunk + 256])
    return hasher.digest()


def test_records_are_those_of_the_manual() -> None:
    hasher = MrenclaveHasher()
    hasher.ecreate(1, 0x2000)
    hasher.eadd(0x1000, 0x203)
    hasher.eextend(0x1100, b"x" * 256)
    expected = struct.pack("<8sIQ44x", b"ECREATE", 1, 0x2000)
    expected += struct.pack("<8sQQ40x", b"EADD", 0x1000, 0x203)
    expected += struct.pack("<8sQ48x", b"EEXTEND", 0x1100) + b"x" * 256
    assert hasher.digest() == hashlib.sha256(expected).digest()


@pytest.mark.parametrize("start", STARTS)
def test_runs_of_added_pages(start: int) -> None:
    hasher = MrenclaveHasher()
    hasher.add_pages(start, 5000, 0x203)
    assert hasher.digest() == one_by_one(start, 0x203, [None] * 5000)


@pytest.mark.parametrize("start", STARTS)
def test_runs_of_equal_pages(start: int) -> None:
    page = os.urandom(PAGE)
    hasher = MrenclaveHasher()
    hasher.add_equal_pages(start, 70, 0x203, page)
    assert hasher.digest() == one_by_one(start, 0x203, [page] * 70)


@pytest.mark.parametrize("start", STARTS)
def test_runs_of_content(start: int) -> None:
    data = os.urandom(40 * PAGE)
    hasher = MrenclaveHasher()
    hasher.add_data(start, data, 0x205)
    pages: list[bytes | None] = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    assert hasher.digest() == one_by_one(start, 0x205, pages)


def test_forms_can_follow_each_other() -> None:
    """The record blocks are kept between calls; none may leak into the next."""
    data = os.urandom(2 * PAGE)
    bulk, single = MrenclaveHasher(), MrenclaveHasher()
    for offset in (2**40, 0, 2**33, 5 * PAGE):
        bulk.add_pages(offset, 1, 0x203)
        single.eadd(offset, 0x203)
        bulk.add_data(offset, data, 0x201)
        bulk.add_equal_pages(offset, 2, 0x201, b"\xcc" * PAGE)
        for index, page in enumerate([data[:PAGE], data[PAGE:], b"\xcc" * PAGE, b"\xcc" * PAGE]):
            at = offset + index % 2 * PAGE
            single.eadd(at, 0x201)
            for chunk in range(0, PAGE, 256):
                single.eextend(at + chunk, page[chunk : chunk + 256])
    assert bulk.digest() == single.digest()


def test_nothing_is_added_for_no_pages() -> None:
    hasher = MrenclaveHasher()
    hasher.add_pages(0, 0, 0x203)
    hasher.add_data(0, b"", 0x203)
    assert hasher.digest() == hashlib.sha256().digest()


@pytest.mark.parametrize(("offset", "count"), [(1, 1), (-PAGE, 1), (2**64 - PAGE, 2), (0, -1)])
def test_pages_outside_the_address_space_are_refused(offset: int, count: int) -> None:
    with pytest.raises(ValueError, match="page"):
        MrenclaveHasher().add_pages(offset, count, 0x203)
