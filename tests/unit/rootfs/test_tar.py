"""The tar reader: what Python's tarfile writes, and what nobody should."""

from __future__ import annotations

import io
import re
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import InvalidImageError
from enclavize.rootfs import tar
from support.images import Member, directory, file, hard_link, symlink, tar_of
from support.odd_tars import ODDITIES, extension, header, pax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMBERS = [
    directory("d", 0o1777, uid=70_000),
    file("d/x", b"x" * 5000, mtime=12, gid=3_000_000),
    file("d/" + "n" * 120, b"long name"),
    file("/".join(["p" * 60] * 5), b"long path"),
    file("d/\u00e9", b""),
    symlink("l", "t" * 300),
    hard_link("h", "d/x"),
    hard_link("h2", "d/" + "n" * 120),
    Member(path="dev", type=b"3", device=(1, 5)),
    file("last", b"y" * 700_000),
]


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    """Yield data in pieces of one size."""
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int = 1 << 20) -> list[tuple[tar.Member, bytes]]:
    """Return all members with their data."""
    reader = tar.TarReader(chunked(data, size), "layer x")
    return [(member, b"".join(reader.pieces())) for member in reader]


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@given(size=st.integers(min_value=1, max_value=3000))
def test_every_field_is_read_whatever_the_chunks(tar_format: int, size: int) -> None:
    data = tar_of(MEMBERS[:-1], tar_format)
    for (member, content), wanted in zip(read(data, size), MEMBERS, strict=False):
        assert member.name.decode().rstrip("/") == wanted.path
        assert (member.mode, member.uid, member.gid, member.mtime) == (
            wanted.mode, wanted.uid, wanted.gid, wanted.mtime,
        )  # fmt: skip
        assert (member.type, member.link.decode(), member.rdev) == (wanted.type, wanted.link, wanted.device)
        assert content == wanted.data


def test_the_padding_of_the_last_member_may_be_missing() -> None:
    data = tar_of([file("first", b"1"), file("last", b"22")])
    end = data.rindex(b"22") + 2
    for size in (100, 512, 1 << 20):
        assert [content for _, content in read(data[:end], size)] == [b"1", b"22"]


def test_the_first_piece_is_the_head() -> None:
    reader = tar.TarReader(chunked(tar_of(MEMBERS), 1000), "layer x")
    for member in reader:
        first = next(reader.pieces(), b"")
        assert len(first) >= min(member.size, tar.HEAD_SIZE)


def test_data_that_nobody_reads_is_skipped() -> None:
    reader = tar.TarReader(chunked(tar_of(MEMBERS), 1000), "layer x")
    assert [member.name.rstrip(b"/").decode() for member in reader] == [member.path for member in MEMBERS]


def test_pax_values_win() -> None:
    pax = {"path": "other", "mtime": "-1.5", "uid": "5", "SCHILY.xattr.user.a": "b", "comment": "x"}
    [(member, _)] = read(tar_of([file("x", pax=pax)]))
    assert (member.name, member.mtime, member.uid, member.xattrs) == (b"other", -2, 5, {"user.a": b"b"})


def test_a_wrong_checksum_is_damage_and_a_signed_one_is_not() -> None:
    record = bytearray(tar_of([file("x\u00e9")], tarfile.USTAR_FORMAT)[:512])
    record[100] ^= 1
    with pytest.raises(InvalidImageError, match="wrong checksum"):
        read(bytes(record))
    blank = bytes(record[:148]) + b" " * 8 + bytes(record[156:])
    record[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in blank)
    [(member, _)] = read(bytes(record))
    assert member.name.decode() == "x\u00e9"


def test_old_tar_directories_end_with_a_slash() -> None:
    record = bytearray(tar_of([directory("old")], tarfile.USTAR_FORMAT)[:512])
    record[156] = 0
    [(member, _)] = read(with_checksum(record))
    assert member.type == tar.DIRECTORY


def with_checksum(record: bytes | bytearray) -> bytes:
    """Return a header with the right checksum."""
    blank = bytearray(record)
    blank[148:156] = b" " * 8
    blank[148:156] = b"%06o\0 " % sum(blank)
    return bytes(blank)


def one_header(change: Callable[[bytearray], None]) -> bytes:
    """Return an archive whose only header was changed, with the right checksum."""
    record = bytearray(tar_of([file("victim")], tarfile.USTAR_FORMAT)[:512])
    change(record)
    return with_checksum(record)


def put(at: int, value: bytes) -> Callable[[bytearray], None]:
    """Return a change of some bytes."""

    def change(record: bytearray) -> None:
        record[at : at + len(value)] = value

    return change


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not a tar archive, but longer than one record" * 20, "damaged header"),
        (tar_of(MEMBERS)[:-200_000], "ends inside last"),
        (tar_of([file("x")])[:300], "ends inside a header"),
        (one_header(put(124, b"00000000zz")), "damaged header"),
        (one_header(put(124, b"\xff" * 12)), "negative number"),
        (one_header(put(156, b"S")), "sparse file .* of an unknown format"),
        (one_header(put(156, b"M")), "unknown type"),
        (tar_of([file("x" * 200)], tarfile.GNU_FORMAT)[:1024], "ends after an extended header"),
        (one_header(lambda r: (put(156, b"x")(r), put(124, b"77777777777\0")(r))[0]), "extended header of"),
        (bytes(512) + tar_of([file("x")]), "after its end mark"),
        (tar_of([file("x", pax={"GNU.sparse.major": "1"})]), "sparse"),
        (tar_of([file("x", pax={"SCHILY.xattr.user.big": "v" * 70_000})]), "xattrs"),
        (tar_of([file("x", pax={"mtime": "soon"})]), "damaged pax header"),
        (tar_of([file("x", pax={"uid": "1" * 30})]), "damaged pax header"),
    ],
)  # fmt: skip
def test_hostile_archives_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidImageError, match=f"^layer x .*{message}"):
        read(data)


@pytest.mark.parametrize("name", ODDITIES, ids=lambda name: name.replace(" ", "-"))
def test_what_is_read_in_different_ways_is_refused(name: str) -> None:
    data, message = ODDITIES[name]
    if not message:
        assert read(data)
        return
    with pytest.raises(InvalidImageError, match=f"^layer x .*{re.escape(message)}"):
        read(data)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("-1.5", -2), ("-0.5", -1), ("-1.0000000001", -1), ("1.999999999999", 1), ("7.", 7), ("-0", 0)],
)
def test_pax_times_are_rounded_as_go_does(value: str, seconds: int) -> None:
    [(member, _)] = read(tar_of([file("x", pax={"mtime": value})]))
    assert member.mtime == seconds


def test_a_size_beyond_octal_digits_is_that_of_the_pax_header() -> None:
    data = pax((b"size", b"%d" % 8**11)) + header(b"x")
    assert next(iter(tar.TarReader(iter([data]), "layer x"))).size == 8**11


def test_long_extended_headers_are_too_long_together() -> None:
    data = extension(b"L", b"n" * 600_000) + extension(b"K", b"l" * 600_000) + header(b"x")
    with pytest.raises(InvalidImageError, match="extended header of 1200000 bytes"):
        read(data)


@pytest.mark.parametrize(
    "records", [b"999 path=x\n", b"0 path=x\n", b"x path=x\n", b"9 path=xx", b"5 =x\n", b"3\n=", b"-3 a=b\n"]
)
def test_damaged_pax_records_are_refused(records: bytes) -> None:
    header = one_header(
        lambda record: (put(156, b"x")(record), put(124, b"%011o\0" % len(records))(record))[0]
    )
    data = header + records.ljust(512, b"\0") + tar_of([file("x")])
    with pytest.raises(InvalidImageError, match="damaged pax header"):
        read(data)


@given(st.binary(max_size=2048), st.integers(min_value=0, max_value=4000))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    data = bytearray(tar_of(MEMBERS[:5]))
    data[at : at + len(noise)] = noise
    for candidate in (bytes(data), noise):
        try:
            read(candidate)
        except InvalidImageError:
            continue


def test_tarfile_agrees_on_every_member() -> None:
    data = tar_of(MEMBERS)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        theirs = [(each.name, each.mode, each.uid, each.size, each.type) for each in archive]
    ours = [(m.name.decode().rstrip("/"), m.mode, m.uid, m.size, m.type) for m, _ in read(data)]
    assert ours == theirs
