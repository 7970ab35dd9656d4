"""Uploading blobs: skipped where they are, mounted where the registry has them, streamed otherwise."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from enclavize.errors import EnclavizeError, RegistryError
from enclavize.oci.registry.client import push_scope
from enclavize.oci.registry.transport import Request, repeated
from enclavize.oci.stream import blob_name, chunks, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.registry.client import RegistryClient
    from enclavize.oci.registry.transport import Body


class Transfer(StrEnum):
    """How a blob got there."""

    PRESENT = "present"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


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

    Blobs have the name of their content, so the whole session can be repeated after a transient error.
    """
    if client.has_blob(repository, descriptor.digest):
        return Transfer.PRESENT
    if mount_from == repository:
        mount_from = None

    def attempt() -> Transfer:
        location = _start_session(client, repository, descriptor, mount_from)
        if location is None:
            return Transfer.MOUNTED
        try:
            body = partial(_body, descriptor, open_blob, advance)
            _send(client, repository, location, descriptor, body)
        except BaseException:
            _cancel(client, repository, location)
            raise
        return Transfer.UPLOADED

    return repeated(attempt)


def _start_session(
    client: RegistryClient, repository: str, descriptor: Descriptor, mount_from: str | None
) -> str | None:
    """Return where to upload to, or None if the blob was mounted (201; 202 opens an ordinary session)."""
    path = f"{repository}/blobs/uploads/"
    if mount_from:
        path += "?" + urlencode({"mount": descriptor.digest, "from": mount_from})
    response = client.post(path, push_scope(repository, mount_from))
    if mount_from and response.status == 201:
        return None
    location = response.headers.get("Location")
    if not location:
        raise RegistryError(f"{client.registry} opens an upload without telling where")
    return client.absolute(location)


def _send(
    client: RegistryClient,
    repository: str,
    location: str,
    descriptor: Descriptor,
    body: Body,
) -> None:
    """PUT the whole blob. The location may carry a query of its own."""
    separator = "&" if "?" in location else "?"
    request = Request(
        method="PUT",
        url=f"{location}{separator}digest={quote(descriptor.digest)}",
        # Not a form: the reference registry would parse one, and swallow the body.
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(descriptor.size)},
        body=body,
        scope=push_scope(repository),
    )
    client.send(request, f"take blob {descriptor.digest} into {repository}")


def _body(
    descriptor: Descriptor, open_blob: Callable[[], BinaryIO], advance: Callable[[int], None] | None
) -> Iterator[bytes]:
    """Yield the verified blob; an error of ours must not look like one of the connection."""
    count = 0
    try:
        with verified(open_blob(), descriptor, blob_name(descriptor.digest)) as stream:
            for data in chunks(stream):
                yield data
                count += len(data)
                if advance:
                    advance(len(data))
    except BaseException as error:
        if advance:
            advance(-count)
        if isinstance(error, OSError):
            raise EnclavizeError(
                f"cannot read blob {descriptor.digest}: {error.strerror or error}"
            ) from error
        raise


def _cancel(client: RegistryClient, repository: str, location: str) -> None:
    with suppress(EnclavizeError):
        client.send(Request(method="DELETE", url=location, scope=push_scope(repository)), "cancel an upload")
