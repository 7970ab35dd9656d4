"""A layer of ours is what the writer of its format version writes, byte for byte, or it is noticed."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.rootfs.tar import DIRECTORY, REGULAR, SYMLINK, TarReader
from enclavize.tee.comparison import LayerComparison
from enclavize.tee.tar import LAYER_WRITERS, TarDirectory, TarFile, TarLink, ustar_header, write_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRITABLE = "a/run"
END = bytes(1024)


class Output(io.BytesIO):
    """A blob that is written."""

    @property
    def size(self) -> int:
        """The bytes so far."""
        return self.tell()


def layer(version: int = 1) -> bytes:
    output = Output()
    files = {"a/b/x": b"1" * 700, "a/empty": b"", "a/c/" + "n" * 90 + "/" + "m" * 90: b"2" * 512}
    members = [
        *(
            TarFile(path=path, mode=0o444, size=len(data), open=lambda data=data: io.BytesIO(data))  # type: ignore[misc]
            for path, data in files.items()
        ),
        TarLink(path="link", target="a/b/x"),
        TarDirectory(path=WRITABLE, mode=0o777),
    ]
    write_layer(members, output, version=version)  # type: ignore[arg-type]
    return output.getvalue()


def compare(data: bytes, size: int = 1000) -> None:
    """Read a layer as contents.py does."""
    source: Iterator[bytes] = (data[at : at + size] for at in range(0, len(data), size))
    comparison = LayerComparison(source, 1, "layer x")
    for member in TarReader(comparison.chunks(), "layer x"):
        path = member.name.decode().removesuffix("/")
        match member.type:
            case b"5":
                writable = path == WRITABLE
                comparison.member(path, DIRECTORY, 0o777 if writable else 0o555, implied=not writable)
            case b"2":
                comparison.member(path, SYMLINK, 0o777, target=member.link.decode())
            case _:
                comparison.member(path, REGULAR, 0o444, size=member.size)
    comparison.finish()
    comparison.verify()


@pytest.mark.parametrize("version", LAYER_WRITERS)
def test_what_is_written_is_what_is_expected(version: int) -> None:
    for size in (1, 100, 511, 512, 513, 1 << 20):
        compare(layer(version), size)


@given(at=st.integers(min_value=0), change=st.integers(min_value=1, max_value=255))
def test_no_byte_outside_of_files_can_be_another(at: int, change: int) -> None:
    data = bytearray(layer())
    at %= len(data)
    start = 0
    for member in members_of(bytes(data)):
        if start + 512 <= at < start + 512 + int(member[124:135].strip(b"\0") or b"0", 8):
            return
        start += len(member)
    data[at] ^= change
    with pytest.raises(EnclavizeError, match="layer x"):
        compare(bytes(data))


def members_of(data: bytes) -> list[bytes]:
    """Split a layer into its members; the last one is the end."""
    found = []
    at = 0
    while any(data[at : at + 512]):
        size = int(data[at + 124 : at + 135], 8)
        end = at + 512 + size + -size % 512
        found.append(data[at:end])
        at = end
    return [*found, data[at:]]


def header_changed(record: bytes, at: int, value: bytes) -> bytes:
    changed = bytearray(record)
    changed[at : at + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


def reordered(members: list[bytes]) -> list[bytes]:
    return [*members[:-3], members[-2], members[-3], members[-1]]


def with_member(at: int, change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    def changed(members: list[bytes]) -> list[bytes]:
        found = list(members)
        found[at] = change(found[at])
        return found

    return changed


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "order": reordered,
    "a directory too many": lambda members: [*members[:-1], ustar_header("z", b"5", 0o555, 0, ""), END],
    "a directory twice": lambda members: [members[0], *members],
    "a directory behind its files": lambda members: [*members[1:-1], members[0], members[-1]],
    "no directory": lambda members: members[1:],
    "no writable directory's mode": with_member(-3, lambda member: header_changed(member, 100, b"0000555\0")),
    "a time": with_member(2, lambda member: header_changed(member, 136, b"%011o\0" % 7)),
    "a mode": with_member(2, lambda member: header_changed(member, 100, b"0000644\0")),
    "an owner": with_member(2, lambda member: header_changed(member, 108, b"0000001\0")),
    "a user's name": with_member(2, lambda member: header_changed(member, 265, b"root")),
    "spaces in place of zeros": with_member(2, lambda member: header_changed(member, 100, b"   0444\0")),
    "GNU's magic": with_member(2, lambda member: header_changed(member, 257, b"ustar  \0")),
    "bytes behind a file": with_member(2, lambda member: member[:-1] + b"x"),
    "no end": lambda members: members[:-1],
    "half an end": lambda members: [*members[:-1], bytes(512)],
    "a longer end": lambda members: [*members, bytes(512)],
    "a byte behind the end": lambda members: [*members, b"x"],
    "an archive behind the end": lambda members: [*members, *members],
    "a long name where none is needed": lambda members: [
        members[0], header_changed(ustar_header("x", b"0", 0, 5, ""), 156, b"L"), b"a/b/\0".ljust(512, b"\0"),
        *members[1:],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("size", [700, 1 << 20])
def test_changes_that_a_tar_reader_may_not_see_are_seen(name: str, size: int) -> None:
    data = b"".join(CHANGES[name](members_of(layer())))
    assert data != layer()
    with pytest.raises(
        IntegrityError, match=r"layer x is not what a build writes in format version 1: .* differs"
    ):
        compare(data, size)


def test_headers_are_those_of_other_writers() -> None:
    """Python's own writer of ustar gives the same bytes."""
    for path, kind, mode, size, target in (
        ("a/b", b"0", 0o444, 12345, ""), ("a", b"5", 0o555, 0, ""), ("é", b"2", 0o777, 0, "t" * 100),
        ("p" * 120 + "/" + "n" * 100, b"0", 0o555, 8**11 - 1, ""), ("d/" * 60 + "x", b"0", 0o444, 0, ""),
        ("q" * 100, b"0", 0o444, 1, ""), ("q" * 99, b"5", 0o555, 0, ""),
    ):  # fmt: skip
        member = tarfile.TarInfo(path)
        member.type, member.mode, member.size, member.linkname = kind, mode, size, target
        assert ustar_header(path, kind, mode, size, target) == member.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("path", "size", "target"),
    [
        ("n" * 101, 0, ""),
        ("p" * 156 + "/n", 0, ""),
        ("p/" + "n" * 101, 0, ""),
        ("n", 8**11, ""),
        ("n", 0, "t" * 101),
    ],
)
def test_what_does_not_fit_is_an_error(path: str, size: int, target: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ustar_header(path, REGULAR, 0o444, size, target)


def test_large_files_do_not_fill_the_memory() -> None:
    chunk = bytes(1 << 20)
    header = ustar_header("a", REGULAR, 0o444, 64 << 20, "")
    comparison = LayerComparison(iter([header, *[chunk] * 64, bytes(1024)]), 1, "layer x")
    reader = TarReader(comparison.chunks(), "layer x")
    for member in reader:
        comparison.member("a", REGULAR, 0o444, size=member.size)
        for _ in reader.pieces():
            assert len(comparison._pending) <= 2
    comparison.finish()
    comparison.verify()
