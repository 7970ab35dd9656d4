"""Uploads in chunks: what the registry has is not sent again (distribution-spec, "Pushing a blob in chunks").

A chunk is kept in memory until the registry has taken it. If the connection breaks, the registry is asked
how much it has, and the rest of the chunk follows. Not every registry says that exactly, and those that do
not lose the session: then the blob is begun anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.errors import AuthenticationError, RegistryError
from enclavize.oci.registry.errors import LostSessionError, TransientError
from enclavize.oci.stream import CHUNK_SIZE as PIECE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from enclavize.oci.registry.client import RegistryClient
    from enclavize.oci.registry.transport import Request
    from enclavize.oci.stream import VerifiedStream

CHUNK_SIZE = 6 << 20
"""Bytes of a chunk; storage services want 5 MiB at least (Amazon S3, "Multipart upload limits")."""

LARGEST_SINGLE_PUT = 32 << 20
"""Bytes up to which a blob is sent in one request, which takes a round trip less."""


class ChunkRefusedError(RegistryError):
    """The registry takes blobs in one piece only."""


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


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """``data`` are the blob's bytes from ``start`` on."""

    start: int
    data: memoryview

    @property
    def end(self) -> int:
        return self.start + len(self.data)

    def after(self, position: int) -> _Chunk:
        return _Chunk(start=position, data=self.data[position - self.start :])


def send_chunks(
    client: RegistryClient,
    repository: str,
    session: Request,
    stream: VerifiedStream,
    *,
    progress: Progress,
) -> Request:
    """Send a whole blob; return a request to where its session is closed.

    Raises ChunkRefusedError where the registry does not take the first chunk, LostSessionError.
    """
    descriptor = stream.descriptor
    upload = _Upload(client, f"take blob {descriptor.digest} into {repository}", session, progress)
    room = memoryview(bytearray(min(CHUNK_SIZE, descriptor.size)))
    position = 0
    while position < descriptor.size:
        size = stream.readinto(room[: descriptor.size - position])
        upload.send(_Chunk(start=position, data=room[:size]))
        position += size
    return upload.session


class _Upload:
    def __init__(self, client: RegistryClient, action: str, session: Request, progress: Progress) -> None:
        self._client = client
        self._action = action
        self.session = session
        self._progress = progress
        self._is_in_doubt = False
        """A request has failed on the way: the registry may have any part of it."""

    def send(self, chunk: _Chunk) -> None:
        """Send a chunk until all of it is there."""
        rest = chunk

        def attempt() -> None:
            nonlocal rest
            if self._is_in_doubt:
                rest = chunk.after(self._asked(chunk))
            while rest.data:
                rest = chunk.after(self._send_once(rest, chunk))

        self._client.repeated(attempt)

    def _send_once(self, part: _Chunk, chunk: _Chunk) -> int:
        """Send one request; return how much of the blob is there then."""
        request = replace(
            self.session,
            method="PATCH",
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(len(part.data)),
                "Content-Range": f"{part.start}-{part.end - 1}",
            },
            body=lambda: self._pieces(part),
        )
        try:
            self.session, received = self._client.send_upload(request, self._action)
        except TransientError:
            self._is_in_doubt = True
            raise
        except (AuthenticationError, LostSessionError):
            raise
        except RegistryError as error:
            if part.start:
                raise
            raise ChunkRefusedError(str(error)) from error
        return self._checked(part.end if received is None else received, chunk, at_least=part.start + 1)

    def _asked(self, chunk: _Chunk) -> int:
        """Ask how much of the blob is there. Raises LostSessionError."""
        state = replace(self.session, method="GET", headers={}, body=None)
        self.session, received = self._client.send_upload(state, self._action)
        self._is_in_doubt = False
        if received is None:
            raise LostSessionError(f"{self._client.registry} does not say how much of an upload it has")
        return self._checked(received, chunk, at_least=chunk.start)

    def _checked(self, received: int, chunk: _Chunk, *, at_least: int) -> int:
        if not at_least <= received <= chunk.end:
            raise LostSessionError(
                f"{self._client.registry} has {received} bytes of an upload, not {at_least} to {chunk.end}"
            )
        self._progress.is_at(received)
        return received

    def _pieces(self, part: _Chunk) -> Iterator[bytes]:
        for start in range(0, len(part.data), PIECE):
            self._progress.is_at(part.start + min(start + PIECE, len(part.data)))
            yield bytes(part.data[start : start + PIECE])
