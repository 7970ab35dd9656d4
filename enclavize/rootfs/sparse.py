"""Files with holes in tar archives: where the data goes that is stored, in the four formats of GNU tar.

The old one has its map in the header and behind it; pax 0.0 and 0.1 have it in records, pax 1.0 before the
data. What is accepted is what Go's archive/tar reads, less what other readers find elsewhere.

Sources: GNU tar manual, "Storing Sparse Files" and "Basic Tar Format"; Go, archive/tar, reader.go,
``handleSparseFile``, and strconv.go, ``validateSparseEntries``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from enclavize.rootfs.tar_header import RECORD_SIZE, TarFormatError, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

PREFIX = b"GNU.sparse."
OFFSET, COUNT = b"GNU.sparse.offset", b"GNU.sparse.numbytes"
"""Keys that stand once for each extent, in turns: format 0.0."""
MAP = b"GNU.sparse.map"

MAX_MAP_SIZE = 1 << 20
"""Bytes that the map of one file may take: as many as Go's archive/tar reads."""

_MAJOR, _MINOR, _NAME = b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name"
_SIZE, _REAL_SIZE, _EXTENTS = b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.numblocks"
_KNOWN = frozenset({MAP, _MAJOR, _MINOR, _NAME, _SIZE, _REAL_SIZE, _EXTENTS})
_MAX_NUMBER = (1 << 63) - 1

_ENTRY_SIZE = 24
"""Of the old format: offset and size, of 12 bytes each."""
_HEADER_ENTRIES, _HEADER_IS_EXTENDED, _OLD_REAL_SIZE = slice(386, 482), 482, slice(483, 495)
_MORE_ENTRIES, _MORE_IS_EXTENDED = slice(0, 504), 504


class Extent(NamedTuple):
    """Bytes of a file that are stored; between extents there are zeros."""

    offset: int
    size: int


class SparseMap(NamedTuple):
    """A file with holes. ``size`` is that of the whole file, ``name`` empty where the map gives it none."""

    name: bytes
    size: int
    extents: tuple[Extent, ...]


def sparse_map(records: Mapping[bytes, bytes], read: Callable[[int], bytes]) -> SparseMap:
    """Return what pax records say of a file with holes; ``read`` gives its data. Raises TarFormatError."""
    match records.get(_MAJOR), records.get(_MINOR):
        case (None, None) | (b"0", b"0" | b"1") if records.get(MAP):
            numbers = _numbers(records[MAP].split(b","))
            if len(numbers) != 2 * _number(records.get(_EXTENTS, b"")):
                raise TarFormatError("has a damaged map of a sparse file")
        case b"1", b"0" if MAP not in records:
            numbers = _map_in_data(read)
        case _:
            raise TarFormatError("has a sparse file of an unknown format")
    if unknown := records.keys() - _KNOWN:
        raise TarFormatError(f"has a sparse file of an unknown format ({min(unknown)[:40]!r})")
    sizes = {_number(records[key]) for key in (_SIZE, _REAL_SIZE) if key in records}
    if len(sizes) != 1:
        raise TarFormatError("does not tell the size of a sparse file, or in two ways")
    return SparseMap(records.get(_NAME, b""), sizes.pop(), _extents(numbers))


def old_sparse_map(header: bytes, read: Callable[[int], bytes]) -> SparseMap:
    """Return what GNU's old header says of a file with holes; ``read`` gives what is behind it.

    Raises TarFormatError.
    """
    size = number(header[_OLD_REAL_SIZE], "size")
    numbers = list(_old_numbers(header[_HEADER_ENTRIES]))
    is_extended, map_size = header[_HEADER_IS_EXTENDED], 0
    while is_extended:
        map_size += RECORD_SIZE
        if map_size > MAX_MAP_SIZE:
            raise TarFormatError(f"has a sparse file whose map has more than {MAX_MAP_SIZE} bytes")
        record = read(RECORD_SIZE)
        numbers += _old_numbers(record[_MORE_ENTRIES])
        is_extended = record[_MORE_IS_EXTENDED]
    return SparseMap(b"", size, _extents(numbers))


def check_extents(found: SparseMap, stored: int) -> None:
    """Check that the extents are in order, and are just the ``stored`` bytes. Raises TarFormatError."""
    end = 0
    for offset, size in found.extents:
        if offset < end or size < 0:
            raise TarFormatError("has a sparse file whose parts are not in order")
        end = offset + size
    if end > found.size or sum(size for _, size in found.extents) != stored:
        raise TarFormatError("has a sparse file whose parts are not what is stored of it")


def _map_in_data(read: Callable[[int], bytes]) -> list[int]:
    """Read the map before the data of format 1.0: decimal numbers, each on a line; it fills whole records.

    The first number tells how many extents there are, and is left out.
    """
    records: list[bytes] = []
    lines, wanted = 0, 0
    while lines <= wanted:
        if (len(records) + 1) * RECORD_SIZE > MAX_MAP_SIZE:
            raise TarFormatError(f"has a sparse file whose map has more than {MAX_MAP_SIZE} bytes")
        record = read(RECORD_SIZE)
        records.append(record)
        if not lines and b"\n" in record:
            wanted = 2 * _number(b"".join(records).partition(b"\n")[0])
        lines += record.count(b"\n")
    return _numbers(b"".join(records).split(b"\n")[1 : wanted + 1])


def _old_numbers(entries: bytes) -> Iterator[int]:
    for at in range(0, len(entries), _ENTRY_SIZE):
        entry = entries[at : at + _ENTRY_SIZE]
        if not entry[0]:
            return
        yield number(entry[:12], "offset of a sparse file")
        yield number(entry[12:], "size of a sparse file")


def _extents(numbers: list[int]) -> tuple[Extent, ...]:
    return tuple(map(Extent._make, zip(numbers[::2], numbers[1::2], strict=True)))


def _numbers(texts: Iterable[bytes]) -> list[int]:
    return list(map(_number, texts))


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20 or (found := int(text)) > _MAX_NUMBER:
        raise TarFormatError(f"has a damaged map of a sparse file ({text[:40]!r})")
    return found
