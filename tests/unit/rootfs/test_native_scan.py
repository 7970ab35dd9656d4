"""The native reader of layers finds what its reference finds, byte for byte, or the same error."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest

from enclavize.rootfs import layer as layer_module
from enclavize.rootfs import native_scan, tar
from enclavize.rootfs.rows import ROW_SIZE, Rows
from support.images import directory, file, hard_link, opaque, symlink, tar_of, whiteout
from support.layer_readers import need_native_reader, read_by_reference, read_layer
from support.odd_tars import ODDITIES, OddTars, header, padded, pax, python_archives
from support.sample_tree import pattern
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.rootfs.entry import Entry
    from support.images import Member

MEMBERS = [
    directory("bin/"),
    file("bin/sh", pattern(600_000), 0o4755, uid=7, gid=2_500_000, mtime=1_600_000_000),
    file("bin/run", "#! /bin/sh -e\necho\n" * 500),
    file("bin/py", "#! /usr/bin/env python3\n" * 500),
    file("etc/hosts", "127.0.0.1 h\n" * 200),
    file("etc/ld.so.conf.d/x", "/opt/lib\n" * 100),
    file("etc/other", "127.0.0.1 h\n" * 200),
    file("empty"),
    file("s\udcffe", pattern(4097), pax={"SCHILY.xattr.user.a": "v" * 300, "SCHILY.xattr.user.b": ""}),
    file("d/" * 120 + "long", pattern(70_000)),
    symlink("etc/link", "../" * 60 + "x"),
    hard_link("bin/ash", "./bin//sh", mode=0o755),
    whiteout("gone"),
    opaque("lib"),
    file("not/../clean", b"x"),
    file("behind", pattern(9000)),
]
FORMATS = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)


@pytest.fixture(autouse=True)
def native() -> None:
    """Skip all where there is nothing to compare."""
    need_native_reader()


@pytest.fixture
def random() -> Random:
    """Return a source of chance that can be repeated."""
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return Random(seed)


def check(data: bytes, random: Random) -> None:
    """Compare both readers; what is native starts at the first member and stops at the first odd one."""
    assert read_layer(data, random) == read_by_reference(data, random), data[:4096]


@pytest.mark.parametrize("tar_format", FORMATS)
def test_all_kinds_of_members(tar_format: int, random: Random) -> None:
    members = [member for member in MEMBERS if tar_format == tarfile.PAX_FORMAT or member.path.isascii()]
    if tar_format == tarfile.USTAR_FORMAT:
        members = [file(f"{'n' * 90}/{'m' * 90}", b"x"), file("plain", pattern(5000)), symlink("l", "plain")]
    data = tar_of(members, tar_format)
    for _ in range(scaled(200, least=4)):
        check(data, random)
    assert not read_layer(data, random).error


def test_every_oddity(random: Random) -> None:
    plain = tar_of([file("first", pattern(5000)), symlink("second", "first")])[: 2 * 512 + 5120]
    for data, _ in ODDITIES.values():
        check(data, random)
        check(plain + data, random)
    for data in python_archives():
        check(data, random)


def test_odd_archives(random: Random) -> None:
    odd = OddTars(random)
    good = python_archives()
    for _ in range(scaled(20_000)):
        check(odd.archive(), random)
        check(odd.field(), random)
        check(odd.changed(random.choice(good)), random)


def test_archives_cut_short(random: Random) -> None:
    data = tar_of(MEMBERS)
    for _ in range(scaled(1000, least=30)):
        check(data[: random.randrange(len(data))], random)


def files_of(data: bytes, random: Random) -> Iterator[Entry]:
    """Yield the files that the native reader finds."""
    found = read_layer(data, random)
    assert not found.error
    assert len(found.rows) % ROW_SIZE == 0
    return iter(Rows(found.rows, found.heap, heap_start=0, facts=[], number=0))  # type: ignore[arg-type]


def test_hashes_of_all_sizes_are_those_of_the_library(random: Random) -> None:
    """Each content is hashed as a file, as blocks and as a part of its archive, at any place of a piece."""
    known = {
        b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq":
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    }  # fmt: skip
    contents = list(known)
    contents += [pattern(size, size) for size in range(scaled(10_000))]
    contents += [random.randbytes(random.randrange(200_000)) for _ in range(scaled(2000))]
    # Members are headers and data alone: a million would take the Python writer an hour.
    data = b"".join(header(b"f", b"0", len(content)) + padded(content) for content in contents)
    found = list(files_of(data, random))
    assert [entry.sha256 for entry in found] == [hashlib.sha256(content).digest() for content in contents]
    assert [entry.sha256.hex() for entry in found[: len(known)]] == list(known.values())
    check(data, random)


@pytest.mark.parametrize("size", [4096, 4097, 524_288, 524_289, (64 << 20) + 1])
def test_merkle_trees_of_many_levels(size: int, random: Random) -> None:
    check(
        header(b"a", b"0", 5000) + padded(bytes(5000)) + header(b"f", b"0", size) + padded(bytes(size)),
        random,
    )


def test_elf_files_are_looked_into_as_by_the_reference(random: Random) -> None:
    programs = [path.read_bytes() for path in sorted(Path("/usr/bin").glob("[cl]s*")) if path.is_file()]
    assert programs, "no programs to look at"
    short = [programs[0][:size] for size in (3, 4, 51, 52, 57, 58, 63, 64, 5000)]
    data = tar_of([file(f"{number}", content) for number, content in enumerate([*short, *programs[:20]])])
    for _ in range(scaled(100, least=2)):
        check(data, random)


def test_another_digest_is_an_error_of_both(random: Random) -> None:
    data, other = tar_of(MEMBERS), hashlib.sha256(b"other").hexdigest()
    found = read_layer(data, random, other)
    assert "has the content" in found.error
    assert found == read_by_reference(data, random, other)


@pytest.mark.parametrize(("name", "bound"), [("MAX_ENTRIES", 3), ("MAX_METADATA_SIZE", 400)])
def test_bounds_are_the_same(name: str, bound: int, random: Random, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, name, bound)
    data = tar_of(MEMBERS)
    assert "more than" in read_layer(data, random).error
    check(data, random)


def test_ordinary_members_need_no_reference(random: Random, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "TarReader", lambda *_: pytest.fail("the reference was asked"))
    for tar_format in FORMATS:
        members: list[Member] = [file(f"f{'x' * 80}", b"x" * 500), directory("d/"), symlink("l", "d")]
        assert not read_layer(tar_of(members, tar_format), random).error
    long = pax((b"path", b"d/" * 400), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.x", b"\0")) + header(
        b"x", b"5"
    )
    assert not read_layer(long, random).error
    assert native_scan.is_available()
