"""Records of a layer as bytes: rows of fixed size, and their strings in a heap. They are read where they lie.

A row has the fields of :class:`_Row`, little-endian, 152 bytes in all. Its strings follow one another in the
heap: path, link target, xattrs, interpreter line, content. Of each xattr there are the sizes of its name and
value, in 2 and 4 bytes, then both. ``native/host/row.zig`` writes the same.
"""

from __future__ import annotations

import io
import shutil
import struct
from collections.abc import Collection
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from enclavize.rootfs.entry import NO_XATTRS, Entry, FileType
from enclavize.rootfs.names import path_bytes, path_text
from enclavize.rootfs.records import GlobalHeader, HardLink, OpaqueWhiteout, Whiteout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from mmap import mmap

    from enclavize.rootfs.entry import ElfFacts
    from enclavize.rootfs.records import Record

_ROW = struct.Struct("<c?HIIIqQQQQHHHHIIIIII32s32s")
ROW_SIZE = _ROW.size
_XATTR = struct.Struct("<HI")
_NO_TREES = memoryview(b"")
_COPIED_PIECE = 1 << 20

LETTERS = {
    FileType.REGULAR: b"f",
    FileType.DIRECTORY: b"d",
    FileType.SYMLINK: b"l",
    FileType.CHARACTER_DEVICE: b"c",
    FileType.BLOCK_DEVICE: b"b",
    FileType.FIFO: b"p",
}
"""Kinds of rows that are entries."""
_TYPES = {letter: file_type for file_type, letter in LETTERS.items()}


class _Row(NamedTuple):
    kind: bytes
    """A letter."""
    has_content: bool = False
    mode: int = 0
    uid: int = 0
    gid: int = 0
    member: int = 0
    mtime: int = 0
    size: int = 0
    heap: int = 0
    """Where its strings begin."""
    merkle_offset: int = 0
    data_offset: int = 0
    path_size: int = 0
    link_size: int = 0
    line_size: int = 0
    unused: int = 0
    xattrs_size: int = 0
    content_size: int = 0
    major: int = 0
    minor: int = 0
    elf: int = 0
    """Which of the layer's ELF files it is, from 1; 0: it is none."""
    unused2: int = 0
    sha256: bytes = b""
    verity: bytes = b""


class RowWriter:
    """Collects records in two files that ``room`` makes: a layer may have a million of them.

    ``facts`` are those of ELF files, in the order of their rows.
    """

    def __init__(self, room: Callable[[], BinaryIO] = io.BytesIO) -> None:
        self._rows = room()
        self._heap = room()
        self.rows_size = 0
        self.heap_size = 0
        self.facts: list[ElfFacts] = []

    @property
    def descriptors(self) -> tuple[int, int]:
        """The files of rows and heap, for native code that writes to them."""
        return self._rows.fileno(), self._heap.fileno()

    def go_on(self, rows_size: int, heap_size: int, facts: Iterable[ElfFacts]) -> None:
        """Go on behind what native code has written."""
        self.rows_size, self.heap_size = rows_size, heap_size
        self._rows.seek(rows_size)
        self._heap.seek(heap_size)
        self.facts.extend(facts)

    def copy_to(self, file: BinaryIO) -> None:
        """Append rows and heap to a file."""
        for part in (self._rows, self._heap):
            part.seek(0)
            shutil.copyfileobj(part, file, _COPIED_PIECE)

    def close(self) -> None:
        """Give the files up."""
        self._rows.close()
        self._heap.close()

    def layer(self, number: int) -> Rows:
        """Return the records as those of a layer."""
        both = io.BytesIO()
        self.copy_to(both)
        rows, heap = both.getvalue()[: self.rows_size], both.getvalue()[self.rows_size :]
        return Rows(rows, heap, heap_start=0, facts=self.facts, number=number)

    def add(self, record: Record) -> None:
        """Append a record."""
        match record:
            case Entry():
                self._add_entry(record)
            case HardLink(path=path, target=target, xattrs=xattrs):
                row = _Row(kind=b"h", mode=record.mode, uid=record.uid, gid=record.gid)
                self._add(row, path, target, xattrs)
            case Whiteout(path=path):
                self._add(_Row(kind=b"w"), path)
            case OpaqueWhiteout(path=path):
                self._add(_Row(kind=b"o"), path)
            case GlobalHeader(path=path):
                self._add(_Row(kind=b"g"), path)

    def _add_entry(self, entry: Entry) -> None:
        if entry.elf is not None:
            self.facts.append(entry.elf)
        row = _Row(
            kind=LETTERS[entry.type],
            has_content=entry.content is not None,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            member=entry.member,
            mtime=entry.mtime,
            size=entry.size,
            merkle_offset=entry.merkle_offset,
            data_offset=entry.data_offset,
            major=entry.rdev[0],
            minor=entry.rdev[1],
            elf=len(self.facts) if entry.elf is not None else 0,
            sha256=entry.sha256,
            verity=entry.verity,
        )
        more = path_bytes(entry.interpreter_line), entry.content or b""
        self._add(row, entry.path, entry.link_target, entry.xattrs, more)

    def _add(
        self,
        row: _Row,
        path: str,
        link: str = "",
        xattrs: Mapping[str, bytes] = NO_XATTRS,
        more: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        """Append a row and its strings; ``more`` are the interpreter line and the content."""
        strings = (path_bytes(path), path_bytes(link), _packed(xattrs), *more)
        path_size, link_size, xattrs_size, line_size, content_size = map(len, strings)
        packed = _ROW.pack(
            *row._replace(
                heap=self.heap_size,
                path_size=path_size,
                link_size=link_size,
                xattrs_size=xattrs_size,
                line_size=line_size,
                content_size=content_size,
            )
        )
        self._rows.write(packed)
        self.rows_size += len(packed)
        self.heap_size += self._heap.write(b"".join(strings))


class Rows(Collection["Record"]):
    """The records of layer ``number`` of an image. Each is made when it is asked for.

    ``heap`` has the strings of the rows from ``heap_start`` on, ``merkle`` the Merkle trees of files.
    """

    def __init__(
        self,
        rows: bytes | memoryview,
        heap: bytes | mmap,
        *,
        heap_start: int,
        facts: Sequence[ElfFacts],
        number: int,
        merkle: memoryview = _NO_TREES,
    ) -> None:
        self._rows = rows
        self._heap = heap
        self._heap_start = heap_start
        self._facts = facts
        self._number = number
        self._merkle = merkle

    def __len__(self) -> int:
        return len(self._rows) // ROW_SIZE

    def __contains__(self, record: object) -> bool:
        return any(record == other for other in self)

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, map(_Row._make, _ROW.iter_unpack(self._rows)))

    @property
    def parts(self) -> tuple[bytes | memoryview, memoryview, memoryview]:
        """Rows, heap and Merkle trees."""
        return self._rows, memoryview(self._heap)[self._heap_start :], self._merkle

    @property
    def is_mapped(self) -> bool:
        """Whether all of it is in a file that is mapped."""
        return not isinstance(self._heap, bytes)

    def entry(self, number: int, path: str, data_path: str) -> Entry:
        """Return the entry of a row at a place of the merged tree."""
        return self._entry(_Row._make(_ROW.unpack_from(self._rows, number * ROW_SIZE)), path, data_path)

    def _record(self, row: _Row) -> Record:
        at = self._heap_start + row.heap
        path = path_text(self._heap[at : (at := at + row.path_size)])
        match row.kind:
            case b"w":
                return Whiteout(path=path)
            case b"o":
                return OpaqueWhiteout(path=path)
            case b"g":
                return GlobalHeader(path=path)
            case b"h":
                link = path_text(self._heap[at : (at := at + row.link_size)])
                xattrs = _unpacked(self._heap[at : at + row.xattrs_size])
                return HardLink(
                    path=path, target=link, mode=row.mode, uid=row.uid, gid=row.gid, xattrs=xattrs
                )
            case _:
                return self._entry(row, path, path)

    def _entry(self, row: _Row, path: str, data_path: str) -> Entry:
        at = self._heap_start + row.heap + row.path_size
        link = path_text(self._heap[at : (at := at + row.link_size)])
        xattrs = _unpacked(self._heap[at : (at := at + row.xattrs_size)])
        is_file = row.kind == b"f"
        line = path_text(self._heap[at : (at := at + row.line_size)])
        return Entry(
            path=path,
            type=_TYPES[row.kind],
            mode=row.mode,
            uid=row.uid,
            gid=row.gid,
            mtime=row.mtime,
            size=row.size,
            link_target=link,
            rdev=(row.major, row.minor),
            xattrs=xattrs,
            sha256=row.sha256 if is_file else b"",
            verity=row.verity if is_file else b"",
            layer=self._number,
            member=row.member,
            data_path=data_path,
            merkle_offset=row.merkle_offset,
            data_offset=row.data_offset,
            elf=self._facts[row.elf - 1] if row.elf else None,
            interpreter_line=line,
            content=self._heap[at : at + row.content_size] if row.has_content else None,
        )


def _packed(xattrs: Mapping[str, bytes]) -> bytes:
    names = {path_bytes(name): value for name, value in xattrs.items()}
    return b"".join(_XATTR.pack(len(name), len(value)) + name + value for name, value in names.items())


def _unpacked(data: bytes) -> Mapping[str, bytes]:
    if not data:
        return NO_XATTRS
    xattrs = {}
    at = 0
    while at < len(data):
        name_size, value_size = _XATTR.unpack_from(data, at)
        at += _XATTR.size
        name = path_text(data[at : at + name_size])
        at += name_size
        xattrs[name] = data[at : at + value_size]
        at += value_size
    return xattrs
