"""Streams of blobs that verify size and digest while they are read, and never hold more than a chunk."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, Protocol

from enclavize.errors import IntegrityError
from enclavize.oci.digest import new_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import WriteableBuffer

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest

CHUNK_SIZE = 512 << 10
"""Bytes moved at a time: they fit into a processor's cache, and malloc uses their memory again."""


class Readable(Protocol):
    """The part of a binary file that is needed to read it once."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; b"" only at the end."""
        ...

    def close(self) -> None:
        """Give up the stream; may be called twice."""
        ...


class Sink(Protocol):
    """Where a copy of what is read goes: kept once everything was verified, thrown away otherwise."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take the next bytes."""
        ...

    def commit(self, digest: Digest, /) -> object:
        """Keep the copy, which has this digest."""
        ...

    def abort(self) -> None:
        """Throw the copy away; nothing happens after ``commit``."""
        ...


class _VerifyingReader(io.RawIOBase):
    def __init__(
        self,
        stream: Readable,
        descriptor: Descriptor,
        what: str,
        *,
        advance: Callable[[int], None] | None,
        sink: Sink | None,
        on_mismatch: Callable[[], None] | None,
    ) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._what = what
        self._advance = advance
        self._sink = sink
        self._on_mismatch = on_mismatch
        self._hash = new_hash(descriptor.digest)
        self._count = 0
        self._verified = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._verified:
            return 0
        view = memoryview(buffer).cast("B")
        remaining = self._descriptor.size - self._count
        data = self._next(view[:remaining])
        self._count += len(data)
        self._hash.update(data)
        if self._sink:
            self._sink.write(data)
        # The last bytes are handed out only after the check: whoever sees them all has seen verified bytes.
        if not data or self._count == self._descriptor.size:
            self._verify()
        if self._advance:
            self._advance(len(data))
        return len(data)

    def check_file_size(self) -> None:
        """Compare the size of a file, which can be had without reading it."""
        if isinstance(self._stream, io.FileIO | io.BufferedReader) and self._stream.seekable():
            start = self._stream.tell()
            self._check_size(self._stream.seek(0, io.SEEK_END) - start)
            self._stream.seek(start)

    def _check_size(self, size: int) -> None:
        if problem := size_problem(size, self._descriptor):
            self._mismatch(problem)

    def _next(self, room: memoryview) -> memoryview:
        """Fill ``room`` from its start; return the part that was filled."""
        if not room:
            return room
        if isinstance(self._stream, io.FileIO):
            return room[: self._stream.readinto(room)]
        data = self._stream.read(len(room))
        room[: len(data)] = data
        return room[: len(data)]

    def _verify(self) -> None:
        self._check_size(self._count + len(self._stream.read(1)))
        found = f"{self._hash.name}:{self._hash.hexdigest()}"
        if found != self._descriptor.digest:
            self._mismatch(f"has digest {found} instead of {self._descriptor.digest}")
        self._verified = True
        if self._sink:
            self._sink.commit(self._descriptor.digest)

    def _mismatch(self, problem: str) -> None:
        if self._on_mismatch:
            self._on_mismatch()
        raise IntegrityError(f"{self._what} {problem}")

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            if self._sink:
                self._sink.abort()
        super().close()


def size_problem(size: int, descriptor: Descriptor) -> str:
    """Return what is wrong with a blob of ``size`` bytes, "" if that is its size."""
    if size < descriptor.size:
        return f"ends after {size} of {descriptor.size} bytes"
    return f"is longer than {descriptor.size} bytes" if size > descriptor.size else ""


class VerifiedStream(io.BufferedReader):
    """What :func:`verified` returns, and others that verify; ``descriptor`` is what against."""

    def __init__(self, reader: io.RawIOBase, descriptor: Descriptor) -> None:
        super().__init__(reader, buffer_size=CHUNK_SIZE)
        self.descriptor = descriptor


def verified(
    stream: Readable,
    descriptor: Descriptor,
    what: str,
    *,
    advance: Callable[[int], None] | None = None,
    sink: Sink | None = None,
    on_mismatch: Callable[[], None] | None = None,
) -> VerifiedStream:
    """Return ``stream`` as a file that raises IntegrityError unless it is what ``descriptor`` says.

    The check is made before the last bytes are handed out; that of the size at once, for files: it bounds
    what they may unpack to. A copy goes to ``sink``. ``what`` names the blob in errors; ``on_mismatch`` is
    called before an error is raised.
    """
    reader = _VerifyingReader(stream, descriptor, what, advance=advance, sink=sink, on_mismatch=on_mismatch)
    try:
        reader.check_file_size()
    except BaseException:
        reader.close()
        raise
    return VerifiedStream(reader, descriptor)


def ensure_verified(stream: BinaryIO, descriptor: Descriptor, what: str) -> VerifiedStream:
    """Return ``stream`` itself if it verifies just that, or else :func:`verified` around it."""
    if isinstance(stream, VerifiedStream) and stream.descriptor == descriptor:
        return stream
    return verified(stream, descriptor, what)


def read_verified(stream: BinaryIO, descriptor: Descriptor, what: str) -> bytes:
    """Read a small blob whole; the caller has bounded ``descriptor.size``."""
    with verified(stream, descriptor, what) as reader:
        return reader.read()


def chunks(stream: Readable) -> Iterator[bytes]:
    """Yield what is left in ``stream``."""
    while data := stream.read(CHUNK_SIZE):
        yield data


def blob_name(digest: Digest) -> str:
    """Return how errors call a blob."""
    return f"blob {digest}"
