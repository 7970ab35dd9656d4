"""Uploads in chunks: what the registry has is not sent again (distribution-spec, "Pushing a blob in chunks").

If the connection breaks, the registry is asked how much it has, and the rest of the chunk follows. Not every
registry says that exactly, and those that do not lose the session: then the blob is begun anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from enclavize.errors import AuthenticationError, RegistryError
from enclavize.oci.registry.errors import LostSessionError, TransientError

if TYPE_CHECKING:
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.registry.client import RegistryClient
    from enclavize.oci.registry.pieces import Pieces
    from enclavize.oci.registry.transport import Request

CHUNK_SIZE = 32 << 20
"""Bytes of a chunk, and of the largest blob that is sent in one request, which takes a round trip less.

Storage services want 5 MiB at least (Amazon S3, "Multipart upload limits"); the reference registry waits for
its disk at the end of each.
"""


class ChunkRefusedError(RegistryError):
    """The registry takes blobs in one piece only."""


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """The blob's bytes from ``start`` to before ``end``."""

    start: int
    end: int


def send_chunks(
    client: RegistryClient,
    repository: str,
    session: Request,
    descriptor: Descriptor,
    pieces: Pieces,
) -> Request:
    """Send a whole blob; return a request to where its session is closed.

    Raises ChunkRefusedError where the registry does not take the first chunk, LostSessionError.
    """
    action = f"take blob {descriptor.digest} into {repository}"
    upload = _Upload(client, action, session, pieces)
    for start in range(0, descriptor.size, CHUNK_SIZE):
        upload.send(_Chunk(start=start, end=min(start + CHUNK_SIZE, descriptor.size)))
    return upload.session


class _Upload:
    def __init__(self, client: RegistryClient, action: str, session: Request, pieces: Pieces) -> None:
        self._client = client
        self._action = action
        self.session = session
        self._pieces = pieces
        self._is_in_doubt = False
        """A request has failed on the way: the registry may have any part of it."""

    def send(self, chunk: _Chunk) -> None:
        """Send a chunk until all of it is there."""
        position = chunk.start

        def attempt() -> None:
            nonlocal position
            if self._is_in_doubt:
                position = self._asked(chunk)
            while position < chunk.end:
                position = self._send_once(position, chunk)

        self._client.repeated(attempt)

    def _send_once(self, start: int, chunk: _Chunk) -> int:
        """Send what is left of a chunk in one request; return how much of the blob is there then."""
        request = replace(
            self.session,
            method="PATCH",
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(chunk.end - start),
                "Content-Range": f"{start}-{chunk.end - 1}",
            },
            body=partial(self._pieces.between, start, chunk.end),
        )
        try:
            self.session, received = self._client.send_upload(request, self._action)
        except TransientError:
            self._is_in_doubt = True
            raise
        except (AuthenticationError, LostSessionError):
            raise
        except RegistryError as error:
            if start:
                raise
            raise ChunkRefusedError(str(error)) from error
        return self._checked(chunk.end if received is None else received, chunk, at_least=start + 1)

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
        self._pieces.progress.is_at(received)
        return received
