"""The files of a tar archive, read where they are: an index of offsets, nothing is unpacked."""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from enclavize.errors import InvalidImageError
from enclavize.oci.compression import decompressed
from enclavize.oci.limits import MAX_ARCHIVE_MEMBERS, MAX_ARCHIVE_SIZE
from enclavize.oci.media_types import sniff_compression
from enclavize.oci.storage import storage_errors
from enclavize.oci.stream import chunks

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from enclavize.oci.cache import BlobCache

MAX_HEADER_SIZE = 1 << 20
"""Bytes of one extended header: names and attributes, never data."""

MAX_LINKS = 16


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int
    size: int


class TarFiles:
    """The regular files of an archive by name. Readable by several threads at once."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self._stream = stream
        self._members: dict[str, _Member | str] = {}
        try:
            self._read_index()
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidImageError(f"{name} is not a valid tar archive: {error}") from error

    def _read_index(self) -> None:
        bounded = _BoundedReads(self._stream, self.name)
        with tarfile.open(fileobj=cast("BinaryIO", bounded), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_ARCHIVE_MEMBERS:
                    raise InvalidImageError(f"{self.name} has more than {MAX_ARCHIVE_MEMBERS} members")
                path = posixpath.normpath(member.name)
                if member.issym():
                    self._members[path] = posixpath.join(posixpath.dirname(path), member.linkname)
                elif member.islnk():
                    self._members[path] = member.linkname
                elif member.isreg() and not member.issparse():
                    self._members[path] = _Member(member.offset_data, member.size)

    def open(self, path: str) -> BinaryIO:
        """Open a file. Raises FileNotFoundError."""
        member = self._find(path)
        return io.BufferedReader(_MemberReader(self._stream, member.offset, member.size))

    def size(self, path: str) -> int:
        """Return the bytes of a file. Raises FileNotFoundError."""
        return self._find(path).size

    def close(self) -> None:
        """Close the archive."""
        self._stream.close()

    def _find(self, path: str) -> _Member:
        # docker save of old writes a layer that several images share as a link to the first one.
        for _ in range(MAX_LINKS):
            match self._members.get(posixpath.normpath(path)):
                case _Member() as member:
                    return member
                case str(path):
                    continue
                case None:
                    break
        raise FileNotFoundError(path)


class _BoundedReads:
    """Keeps the tar parser from reading a header of any length into memory."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER_SIZE:
            raise InvalidImageError(f"{self._name} has an extended header of {size} bytes")
        return self._stream.read(size)


class _MemberReader(io.RawIOBase):
    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        self._descriptor = stream.fileno()
        self._offset = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")[: self._end - self._offset]
        count = os.preadv(self._descriptor, [view], self._offset) if view else 0
        self._offset += count
        return count


def open_archive(path: Path, cache: BlobCache) -> TarFiles:
    """Open an archive. A compressed one, or a pipe, is copied to a nameless file on the cache's disk."""
    with storage_errors("read", path):
        stream = path.open("rb")
    try:
        compression = sniff_compression(stream.peek(4)[:4])
        if compression == "none" and stream.seekable():
            return TarFiles(stream, str(path))
        spool = cache.spool()
        try:
            with storage_errors("unpack", path), decompressed(stream, compression, str(path)) as plain:
                _copy_bounded(plain, spool, str(path))
            stream.close()
            return TarFiles(spool, str(path))
        except BaseException:
            spool.close()
            raise
    except BaseException:
        stream.close()
        raise


def _copy_bounded(stream: BinaryIO, output: BinaryIO, name: str) -> None:
    size = 0
    for data in chunks(stream):
        size += len(data)
        if size > MAX_ARCHIVE_SIZE:
            raise InvalidImageError(f"{name} unpacks to more than {MAX_ARCHIVE_SIZE} bytes")
        output.write(data)
    output.seek(0)
