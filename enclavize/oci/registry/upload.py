"""Uploading blobs: skipped where they are, mounted where the registry has them, streamed otherwise."""

from __future__ import annotations

import io
from contextlib import closing, suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from enclavize.errors import EnclavizeError, RegistryError
from enclavize.oci.registry.chunks import CHUNK_SIZE, ChunkRefusedError, send_chunks
from enclavize.oci.registry.client import push_scope
from enclavize.oci.registry.errors import LostSessionError, TransientError
from enclavize.oci.registry.pieces import Pieces, Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.registry.client import RegistryClient
    from enclavize.oci.registry.transport import Body, Request


class Transfer(StrEnum):
    """How a blob got there."""

    PRESENT = "present"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


def push_bytes(client: RegistryClient, repository: str, descriptor: Descriptor, data: bytes) -> Transfer:
    """Make sure that a repository has a small blob."""
    return push_blob(client, repository, descriptor, lambda: io.BytesIO(data))


def push_blob(
    client: RegistryClient,
    repository: str,
    descriptor: Descriptor,
    open_blob: Callable[[], BinaryIO],
    *,
    mount_from: str | None = None,
    advance: Callable[[int], None] | None = None,
) -> Transfer:
    """Make sure that a repository has a blob. Raises RegistryError, IntegrityError.

    Blobs have the name of their content, so the whole session can be repeated after a transient error. What
    ``advance`` raises ends the upload. Large blobs are sent in chunks, so that less is sent again.
    """
    if mount_from == repository:
        mount_from = None

    def attempt() -> Transfer:
        if client.has_blob(repository, descriptor.digest):  # now, or by an attempt whose answer was lost
            return Transfer.PRESENT
        session = _start_session(client, repository, descriptor, mount_from)
        if session is None:
            return Transfer.MOUNTED
        progress = Progress(advance)
        try:
            with closing(Pieces(descriptor, open_blob, progress)) as pieces:
                if descriptor.size > CHUNK_SIZE and client.takes_chunks:
                    session = send_chunks(client, repository, session, descriptor, pieces)
                    _complete(client, repository, session, descriptor)
                else:
                    body = partial(pieces.between, 0, descriptor.size)
                    _send(client, repository, session, descriptor, body)
        except LostSessionError as error:
            progress.is_at(0)
            raise TransientError(str(error)) from error
        except BaseException:
            progress.is_at(0)
            _cancel(client, session)
            raise
        return Transfer.UPLOADED

    while True:
        try:
            return client.repeated(attempt)
        except ChunkRefusedError as error:  # an optimisation: most registries take chunks, not all
            client.takes_chunks = False
            client.warn(f"{client.registry} takes no chunks, so large blobs are sent in one piece: {error}")


def _start_session(
    client: RegistryClient, repository: str, descriptor: Descriptor, mount_from: str | None
) -> Request | None:
    """Return a request to upload with, or None if the blob was mounted."""
    path = f"{repository}/blobs/uploads/"
    if mount_from:
        path += "?" + urlencode({"mount": descriptor.digest, "from": mount_from})
    try:
        session = client.open_session(path, push_scope(repository, mount_from), mounts=bool(mount_from))
    except TransientError:
        raise
    except RegistryError:
        if mount_from:  # it may be that we must not read there
            return _start_session(client, repository, descriptor, None)
        raise
    return replace(session, scope=push_scope(repository)) if session else None


def _send(
    client: RegistryClient,
    repository: str,
    session: Request,
    descriptor: Descriptor,
    body: Body | None,
) -> None:
    """PUT the whole blob, or what closes the session. The location may carry a query of its own."""
    separator = "&" if "?" in session.url else "?"
    request = replace(
        session,
        method="PUT",
        url=f"{session.url}{separator}digest={quote(descriptor.digest)}",
        # Not a form: the reference registry would parse one, and swallow the body.
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Length": str(descriptor.size if body else 0),
        },
        body=body,
    )
    client.send_upload(request, f"take blob {descriptor.digest} into {repository}")


def _complete(client: RegistryClient, repository: str, session: Request, descriptor: Descriptor) -> None:
    """Close a session whose chunks are all there: a failure that may pass does not cost them."""

    def close() -> None:
        try:
            _send(client, repository, session, descriptor, None)
        except (TransientError, LostSessionError):
            if not client.has_blob(repository, descriptor.digest):
                raise

    client.repeated(close)


def _cancel(client: RegistryClient, session: Request) -> None:
    with suppress(EnclavizeError):
        client.send(replace(session, method="DELETE"), "cancel an upload")
