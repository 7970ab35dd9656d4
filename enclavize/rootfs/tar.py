"""Read a tar stream: ustar, pax and GNU headers.

Python's tarfile takes four times as long per member, and takes a damaged header for the end of the archive; a
layer must be read whole or refused. What is accepted is what Go's archive/tar reads, which container engines
use: an archive from which they would unpack something else is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from enclavize.errors import InvalidImageError
from enclavize.rootfs import pax
from enclavize.rootfs.pax import Extensions
from enclavize.rootfs.sparse import check_extents, old_sparse_map, sparse_map
from enclavize.rootfs.tar_header import RECORD_SIZE, TarFormatError, parse_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from enclavize.rootfs.sparse import Extent, SparseMap
    from enclavize.rootfs.tar_header import Header

HEAD_SIZE = 64 << 10
"""The first piece of a member's data has this many bytes, or all."""

MAX_EXTENSION_SIZE = 1 << 20
"""Most bytes of the pax headers and GNU long names of one member."""

MAX_OCTAL_SIZE = 8**11 - 1
"""Largest size for which a header has room without extensions."""

REGULAR, HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO = (b"%d" % n for n in range(7))
GNU_SPARSE = b"S"
"""A regular file with holes, in GNU's old format."""
GLOBAL_HEADER = pax.PAX_GLOBAL_HEADER
"""No file, but records about the whole archive, which Go gives as a member and applies to none."""

FILES = frozenset({REGULAR, GNU_SPARSE})
"""Types of members with data."""

_TYPES = frozenset({*FILES, HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO})
_OLD_REGULAR = b"\0"
_ZERO_RECORD = bytes(RECORD_SIZE)
_ZEROS = memoryview(bytes(1 << 20))
_NO_EXTENSIONS = Extensions()
_NO_DEVICE = (0, 0)


class Member(NamedTuple):
    """One header. ``size`` is that of the data with all holes filled, 0 unless the member is a file."""

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    link: bytes
    rdev: tuple[int, int]
    xattrs: Mapping[str, bytes]


class TarReader:
    """Iterate over members; :meth:`pieces` gives the data of the latest one, what is not read is skipped.

    ``skip`` makes ``chunks`` leave out bytes, where that is cheaper than to read them.
    """

    def __init__(
        self, chunks: Iterator[bytes], what: str, *, skip: Callable[[int], None] | None = None
    ) -> None:
        self._chunks = chunks
        self._what = what
        self._chunk = b""
        self._at = 0
        self._skip = skip
        self._seen = 0
        self._data_left = 0
        self._padding = 0
        self._name = b""
        self._size = 0
        self.extents: tuple[Extent, ...] | None = None
        """Where the stored data of the current member belongs; None: it has no holes."""

    def __iter__(self) -> Iterator[Member]:
        try:
            yield from self._members()
        except TarFormatError as error:
            raise self._error(str(error)) from error

    def _members(self) -> Iterator[Member]:
        extensions: Extensions | None = None
        extension_size = 0
        while (record := self._next_record()) is not None:
            header = parse_header(record)
            if header.type not in pax.KINDS:
                yield self._member(header, extensions or _NO_EXTENSIONS, record)
                extensions = None
                extension_size = 0
                continue
            size = header.size
            extension_size += max(size, 0)
            if not 0 <= size <= extension_size <= MAX_EXTENSION_SIZE:
                raise TarFormatError(f"has an extended header of {extension_size} bytes")
            extensions = extensions or Extensions()
            extensions.take(header.type, self._read(size + -size % RECORD_SIZE, "a header")[:size])
            if extensions.is_global:
                name, xattrs = extensions.name or header.name, extensions.xattrs
                self.extents = None
                yield Member(name, GLOBAL_HEADER, 0, 0, 0, 0, 0, b"", _NO_DEVICE, xattrs)
                extensions = None
                extension_size = 0
        if extensions:
            raise TarFormatError("ends after an extended header")

    @property
    def offset(self) -> int:
        """The bytes of the archive before the data of the current member; until they are asked for."""
        return self._seen - len(self._chunk) + self._at

    def pieces(self) -> Iterator[memoryview]:
        """Yield the data of the current member; the first piece has at least 64 KiB, or all of it."""
        if self.extents is not None:
            yield from self._with_holes(self.extents)
            return
        first = min(self._data_left, HEAD_SIZE)
        if first > 0 and len(self._chunk) - self._at < first:
            self._data_left -= first
            yield memoryview(self._read(first))
        yield from self._stored(self._data_left)

    def _stored(self, size: int) -> Iterator[memoryview]:
        """Yield the next bytes of what is stored of the current member."""
        end = self._data_left - size
        while self._data_left > end:
            if self._at == len(self._chunk) and not self._fill():
                raise self._error(f"ends inside {self._shown(self._name)}")
            piece = memoryview(self._chunk)[self._at : self._at + self._data_left - end]
            self._at += len(piece)
            self._data_left -= len(piece)
            yield piece

    def _with_holes(self, extents: Sequence[Extent]) -> Iterator[memoryview]:
        head = bytearray()
        for piece in self._filled(extents):
            if len(head) >= HEAD_SIZE:
                yield piece
                continue
            head += piece
            if len(head) >= HEAD_SIZE:
                yield memoryview(bytes(head))
        if 0 < len(head) < HEAD_SIZE:
            yield memoryview(bytes(head))

    def _filled(self, extents: Sequence[Extent]) -> Iterator[memoryview]:
        """Yield stored data and zeros in pieces of any size."""
        at = 0
        for offset, size in (*extents, (self._size, 0)):
            while at < offset:
                zeros = _ZEROS[: offset - at]
                at += len(zeros)
                yield zeros
            yield from self._stored(size)
            at += size

    def _next_record(self) -> bytes | None:
        """Return the next header, or None at the end of the archive."""
        beyond = self._data_left - (len(self._chunk) - self._at)
        if self._skip and beyond > 0:
            self._skip(beyond)
            self._seen += beyond
            self._at, self._data_left = len(self._chunk), 0
        for _ in self._stored(self._data_left):
            pass
        self._skip_padding()
        if self._at == len(self._chunk) and not self._fill():
            return None
        record = self._read(RECORD_SIZE, "a header")
        if record == _ZERO_RECORD:
            is_more = self._at < len(self._chunk) or self._fill()
            if is_more and self._read(RECORD_SIZE, "its end mark") != _ZERO_RECORD:
                raise TarFormatError("has a header after its end mark")
            return None
        return record

    def _member(self, header: Header, extensions: Extensions, record: bytes) -> Member:
        """Return what header and extensions say together."""
        name, kind, mode, uid, gid, mtime, size, link, major, minor, _ = header
        if extensions is not _NO_EXTENSIONS:
            name = extensions.name or name
            link = extensions.link or link
            mtime = mtime if extensions.mtime is None else extensions.mtime
            uid, gid = extensions.numbers.get(b"uid", uid), extensions.numbers.get(b"gid", gid)
            size = extensions.numbers.get(b"size", size)
            if size != header.size and size <= MAX_OCTAL_SIZE:
                raise TarFormatError(f"has two sizes for {self._shown(name)}")
        self._name = name
        if kind == _OLD_REGULAR:
            kind = DIRECTORY if name.endswith(b"/") else REGULAR
        if kind not in _TYPES:
            raise TarFormatError(f"has a member of unknown type {kind!r}: {self._shown(name)}")
        if uid < 0 or gid < 0 or size < 0:
            raise TarFormatError(f"has a negative number in the header of {self._shown(name)}")
        # Go finds no data behind it whatever the size is; others do.
        if size and kind not in FILES:
            raise TarFormatError(f"has a size for {self._shown(name)}, which is no regular file")
        self._data_left = size
        self._padding = -size % RECORD_SIZE
        self.extents = None
        if kind == GNU_SPARSE or extensions.sparse:
            found = self._map(header, extensions, record)
            self.extents, size = found.extents, found.size
            self._name = name = found.name or name
        # Where it is no directory, some readers make one of it.
        if name.endswith(b"/") and kind != DIRECTORY:
            raise TarFormatError(f"has a slash at the end of {self._shown(name)}, which is no directory")
        self._size = size
        device = (major, minor) if kind in (CHARACTER_DEVICE, BLOCK_DEVICE) else _NO_DEVICE
        return Member(name, kind, mode & 0o7777, uid, gid, mtime, size, link, device, extensions.xattrs)

    def _map(self, header: Header, extensions: Extensions, record: bytes) -> SparseMap:
        """Read where the data of a file with holes belongs; what is left is the stored data."""
        if header.type == GNU_SPARSE:
            if extensions.sparse or not header.is_gnu:
                raise TarFormatError(f"has the sparse file {self._shown(header.name)} of an unknown format")
            found = old_sparse_map(record, self._read)
        elif header.type in {REGULAR, _OLD_REGULAR}:
            found = sparse_map(extensions.sparse, self._read_data)
        else:
            raise TarFormatError(f"has a sparse map for {self._shown(header.name)}, which is no regular file")
        check_extents(found, self._data_left)
        return found

    def _read_data(self, size: int) -> bytes:
        if size > self._data_left:
            raise TarFormatError("has a damaged map of a sparse file")
        self._data_left -= size
        return self._read(size)

    def _read(self, size: int, where: str = "") -> bytes:
        """Return exactly ``size`` bytes; they are of the current member, or of what ``where`` says."""
        data = self._chunk[self._at : self._at + size]
        self._at += len(data)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing:
            if not self._fill():
                raise self._error(f"ends inside {where or self._shown(self._name)}")
            parts.append(self._chunk[:missing])
            self._at = len(parts[-1])
            missing -= self._at
        return b"".join(parts)

    def _skip_padding(self) -> None:
        """Skip what fills the last record. It may be missing at the end: umoci 0.4 writes such layers."""
        while self._padding and (self._at < len(self._chunk) or self._fill()):
            skipped = min(self._padding, len(self._chunk) - self._at)
            self._at += skipped
            self._padding -= skipped
        self._padding = 0

    def _fill(self) -> bool:
        self._chunk = next(self._chunks, b"")
        self._seen += len(self._chunk)
        self._at = 0
        return bool(self._chunk)

    def _error(self, problem: str) -> InvalidImageError:
        return InvalidImageError(f"{self._what} {problem}")

    @staticmethod
    def _shown(name: bytes) -> str:
        from enclavize.rootfs.names import path_text, printable

        return printable(path_text(name))
