"""The bytes of a blob on their way into requests, from wherever a registry wants them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.oci.stream import CHUNK_SIZE, blob_name, ensure_verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.stream import VerifiedStream

PIECE = CHUNK_SIZE
"""Most bytes of one piece, all that is held in memory."""


class Progress:
    """Tells how far one attempt is, and takes it back if it fails."""

    def __init__(self, advance: Callable[[int], None] | None) -> None:
        self._advance = advance
        self._count = 0

    def is_at(self, count: int) -> None:
        """Tell that so many bytes of the blob are on their way or there."""
        step, self._count = count - self._count, count
        if self._advance and step:
            self._advance(step)


class Pieces:
    """A verified blob. To go back, which only failures ask for, it is opened anew.

    ``open_blob`` starts the blob from its beginning each time it is called. Methods raise EnclavizeError:
    what fails while a blob is read must not look like an error of the connection.
    """

    def __init__(self, descriptor: Descriptor, open_blob: Callable[[], BinaryIO], progress: Progress) -> None:
        self.progress = progress
        self._descriptor = descriptor
        self._open_blob = open_blob
        self._stream: VerifiedStream | None = None
        self._position = 0
        self._room = memoryview(bytearray(min(PIECE, descriptor.size)))

    def between(self, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from ``start`` to before ``end``. Each piece is there until the next is asked for.

        Pieces have whatever comes: so a slow source can be stopped.
        """
        self.progress.is_at(start)
        stream = self._at(start)
        while self._position < end:
            piece = self._next(stream, end)
            self.progress.is_at(self._position)
            yield piece

    def close(self) -> None:
        """Close the blob."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _at(self, position: int) -> VerifiedStream:
        with self._errors_of_reading():
            if self._stream is None or position < self._position:
                self.close()
                name = blob_name(self._descriptor.digest)
                self._stream = ensure_verified(self._open_blob(), self._descriptor, name)
                self._position = 0
        while self._position < position:
            self._next(self._stream, position)
        return self._stream

    def _next(self, stream: VerifiedStream, end: int) -> memoryview:
        with self._errors_of_reading():
            size = stream.readinto1(self._room[: end - self._position])
        self._position += size
        return self._room[:size]

    @contextmanager
    def _errors_of_reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise EnclavizeError(f"cannot read blob {self._descriptor.digest}: {reason}") from error
