"""The files of a tar archive, read where they are: an index of offsets, nothing is unpacked.

Engines differ in what they make of an odd archive: docker unpacks it, where the last of several members of
one name counts, podman takes the first, containerd some of one and some of the other. So each name may stand
once, and what is below a link is refused.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
import stat
from bisect import bisect_left, bisect_right
from enum import Enum, auto
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from enclavize.errors import InvalidImageError
from enclavize.oci.digest import Digest, new_hash
from enclavize.oci.limits import ARCHIVE_FREE_SIZE, MAX_ARCHIVE_MEMBERS, MAX_ARCHIVE_SIZE, MAX_RATIO
from enclavize.oci.media_types import MAGIC_SIZE, sniff_compression
from enclavize.oci.storage import storage_errors
from enclavize.oci.stream import chunks
from enclavize.rootfs import tar
from enclavize.rootfs.names import path_text, printable
from enclavize.rootfs.tar import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from enclavize.oci.cache import BlobCache
    from enclavize.rootfs.sparse import Extent

MAX_LINKS = 16
MAX_NAME = 4096
"""Bytes of a member's name; longer ones cannot be unpacked on Linux (PATH_MAX)."""

_MAX_EXTENTS = 1000
"""Pieces between holes that are looked for."""

_PIECE = 64 << 10
"""Bytes read at once while headers are looked for."""


class _File(NamedTuple):
    """``extents`` are the stored parts of a file with holes, None if there are none."""

    offset: int
    size: int
    extents: tuple[Extent, ...] | None = None

    @property
    def stored(self) -> int:
        return self.size if self.extents is None else sum(size for _, size in self.extents)


class _Link(NamedTuple):
    target: str


class _Other(Enum):
    FOLDER = auto()
    DEVICE = auto()
    """Also a pipe."""
    NOTHING = auto()
    """A global pax header."""


_Member = _File | _Link | _Other


class TarFiles:
    """The members of an archive by name. Readable by several threads at once.

    ``compressed_size`` are the bytes that it had when it was compressed as a whole, None if it was not.
    """

    def __init__(self, stream: BinaryIO, name: str, *, compressed_size: int | None = None) -> None:
        self.name = name
        self.compressed_size = compressed_size
        self._stream = stream
        self._members: dict[str, _Member] = {}
        self._digests: dict[tuple[str, str], Digest] = {}
        self._read_index()

    def _read_index(self) -> None:
        size = os.fstat(self._stream.fileno()).st_size
        pieces = _Pieces(self._stream)
        archive = TarReader(pieces, self.name, skip=pieces.skip)
        holes = 0
        for count, member in enumerate(archive):
            if count >= MAX_ARCHIVE_MEMBERS:
                raise InvalidImageError(f"{self.name} has more than {MAX_ARCHIVE_MEMBERS} members")
            path = _normal(path_text(member.name))
            if len(member.name) > MAX_NAME:
                raise InvalidImageError(f"{self.name} has a name of {len(member.name)} bytes")
            known = self._members.get(path)
            found: _Member
            match member.type:
                case tar.REGULAR | tar.GNU_SPARSE:
                    found = _File(archive.offset, member.size, archive.extents)
                    if archive.offset + found.stored > size:
                        raise InvalidImageError(f"{self.name} ends inside {printable(path)}")
                    holes += found.size - found.stored
                    if holes > max(ARCHIVE_FREE_SIZE, MAX_RATIO * size):
                        raise InvalidImageError(f"{self.name}: {printable(path)} has too large holes")
                case tar.HARD_LINK:
                    found = _Link(path_text(member.link))
                case tar.SYMLINK:
                    found = _Link(posixpath.join(posixpath.dirname(path), path_text(member.link)))
                case tar.DIRECTORY:
                    found = _Other.FOLDER
                case tar.GLOBAL_HEADER:
                    found = _Other.NOTHING
                case _:
                    found = _Other.DEVICE
            if known and not (known is found and found is not _Other.DEVICE):
                raise InvalidImageError(f"{self.name} has {printable(path)} twice")
            self._members[path] = found
        self._check_folders()

    def _check_folders(self) -> None:
        paths = sorted(self._members)
        for path, member in self._members.items():
            if member is not _Other.FOLDER:
                below = bisect_left(paths, f"{path}/")
                if below < len(paths) and paths[below].startswith(f"{path}/"):
                    raise InvalidImageError(
                        f"{self.name} has {printable(paths[below])}, but {printable(path)} is no folder"
                    )

    def __contains__(self, path: str) -> bool:
        return self._members.get(_normal(path), _Other.NOTHING) is not _Other.NOTHING

    def open(self, path: str) -> BinaryIO:
        """Open a file. Raises FileNotFoundError, and InvalidImageError for what is no regular file."""
        member = self._file(path)
        return io.BufferedReader(_MemberReader(self._stream, member))

    def size(self, path: str) -> int:
        """Return the bytes of a file. Raises as ``open`` does."""
        return self._file(path).size

    def digest(self, path: str, algorithm: str = "sha256") -> Digest:
        """Return the digest of a file, which is read once. Raises as ``open`` does."""
        key = _normal(path), algorithm
        if key not in self._digests:
            hasher = new_hash(Digest(f"{algorithm}:"))
            with self.open(path) as stream:
                for data in chunks(stream):
                    hasher.update(data)
            self._digests[key] = Digest(f"{algorithm}:{hasher.hexdigest()}")
        return self._digests[key]

    def follow(self, path: str) -> str:
        """Return where the links at ``path`` lead, if there are any. Raises InvalidImageError."""
        # docker save of old writes a layer that several images share as a link to the first one.
        path = _normal(path)
        for _ in range(MAX_LINKS):
            match self._members.get(path):
                case _Link(target) if not target.startswith("/"):  # readers differ on where that leads
                    path = _normal(target)
                case _Link():
                    break
                case _:
                    return path
        raise InvalidImageError(f"{self.name}: the link {printable(path)} leads nowhere")

    def close(self) -> None:
        """Close the archive."""
        self._stream.close()

    def _file(self, path: str) -> _File:
        match self._members.get(_normal(path)):
            case _File() as member:
                return member
            case None | _Other.NOTHING:
                raise FileNotFoundError(path)
            case _:
                raise InvalidImageError(f"{self.name}: {printable(path)} is not a regular file")


def _normal(path: str) -> str:
    """Return the path as it is below the folder that an archive is unpacked into."""
    return posixpath.normpath(f"/{path}").lstrip("/")


class _Pieces:
    """A file from its beginning, with gaps where nobody looks."""

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()
        self._offset = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = os.pread(self._descriptor, _PIECE, self._offset)
        if not data:
            raise StopIteration
        self._offset += len(data)
        return data

    def skip(self, size: int) -> None:
        """Leave out some bytes."""
        self._offset += size


class _MemberReader(io.RawIOBase):
    """A member as a file. Extents begin where the file's offset is, and where they are in the archive."""

    def __init__(self, stream: BinaryIO, member: _File) -> None:
        self._descriptor = stream.fileno()
        self._size = member.size
        self._offset = 0
        self._starts: list[int] = []
        self._places: list[int] = []
        self._ends: list[int] = []
        at = member.offset
        for offset, size in ((0, member.size),) if member.extents is None else member.extents:
            self._starts.append(offset)
            self._places.append(at)
            self._ends.append(offset + size)
            at += size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._size}[whence]
        self._offset = min(max(base + offset, 0), self._size)
        return self._offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")[: self._size - self._offset]
        at = bisect_right(self._starts, self._offset) - 1
        if not view:
            return 0
        if at >= 0 and self._offset < self._ends[at]:
            view = view[: self._ends[at] - self._offset]
            place = self._places[at] + self._offset - self._starts[at]
            count = os.preadv(self._descriptor, [view], place)
        else:
            end = self._starts[at + 1] if at + 1 < len(self._starts) else self._size
            count = min(len(view), end - self._offset)
            view[:count] = bytes(count)
        self._offset += count
        return count


def open_archive(path: Path, cache: BlobCache) -> TarFiles:
    """Open an archive. A compressed one, or a pipe, is copied to a nameless file on the cache's disk."""
    with storage_errors("read", path):
        stream = path.open("rb")
    try:
        is_compressed = sniff_compression(stream.peek(MAGIC_SIZE)[:MAGIC_SIZE]) != "none"
        if not is_compressed and stream.seekable():
            return TarFiles(stream, str(path))
        spool = cache.spool()
        try:
            with storage_errors("unpack", path):
                source = _Counted(stream)
                _spool(source, spool, str(path))
            stream.close()
            return TarFiles(spool, str(path), compressed_size=source.size if is_compressed else None)
        except BaseException:
            spool.close()
            raise
    except BaseException:
        stream.close()
        raise


class _Counted:
    """A file of which is known how much was read; ``size`` are its bytes, or what has come through a pipe."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._is_file = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        self._data_size = _data_size(stream.fileno()) if self._is_file else 0
        self._count = 0

    @property
    def size(self) -> int:
        return self._data_size if self._is_file else self._count

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._count += len(data)
        return data


def _data_size(descriptor: int) -> int:
    """Return the bytes of a file without its holes, which nobody had to send."""
    start, total, end = os.lseek(descriptor, 0, os.SEEK_CUR), 0, 0
    try:
        for _ in range(_MAX_EXTENTS):
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, begin, os.SEEK_HOLE)
            total += end - begin
    except OSError as error:
        if error.errno != errno.ENXIO:  # lseek(2): no more data
            raise
    os.lseek(descriptor, start, os.SEEK_SET)
    return total


def _spool(source: _Counted, output: BinaryIO, name: str) -> None:
    from enclavize.rootfs.decompress import decompressed

    size = 0
    for data in decompressed(source, name):
        size += len(data)
        allowed = max(ARCHIVE_FREE_SIZE, MAX_RATIO * source.size)
        if size > min(allowed, MAX_ARCHIVE_SIZE):
            raise InvalidImageError(
                f"{name} unpacks to more than {size - len(data)} bytes, which is too much for its own size",
                hint="if that is no mistake, unpack it first",
            )
        output.write(data)
    output.seek(0)
