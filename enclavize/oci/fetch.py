"""Reading a layer once: the consumer gets the bytes while they land in the cache."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import InvalidImageError, MissingBlobError, NotFoundError
from enclavize.oci.digest import short
from enclavize.oci.media_types import may_be_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.oci.source import Source
    from enclavize.progress import Task


def fetch_blob(image: Image, descriptor: Descriptor, cache: BlobCache, task: Task | None = None) -> BinaryIO:
    """Open a blob of an image.

    That of a remote source comes from the cache if it is there. Otherwise it is written to the cache while it
    is read; it is kept if it was read to its end and was what the descriptor says. Blobs of local files are
    read where they are: others use them from there, whatever the cache has. The stream raises IntegrityError,
    at the latest with its last bytes. Raises InvalidImageError for a blob that is not where its image is.
    """
    try:
        return open_through(image.source, descriptor, cache, task.advance if task else None)
    except (MissingBlobError, NotFoundError) as error:
        if not may_be_elsewhere(descriptor.media_type):
            raise
        raise InvalidImageError(
            f"layer {short(descriptor.digest)} of {image.name} is not there: its type, "
            f"{descriptor.media_type}, lets registries leave it out",
            hint="have the image pushed again with all its layers, as with: "
            "crane push --allow-nondistributable-artifacts",
        ) from error


def follow_blob(image: Image, descriptor: Descriptor, cache: BlobCache) -> BinaryIO:
    """Open a blob that another thread may be fetching: it is not fetched twice then, see oci/arrival.py."""
    return cache.arrivals.follow(descriptor) or fetch_blob(image, descriptor, cache)


def open_through(
    source: Source, descriptor: Descriptor, cache: BlobCache, advance: Callable[[int], None] | None
) -> BinaryIO:
    """Open a blob of a source, as ``fetch_blob`` does. ``advance`` is told the bytes read."""
    if not source.remote:
        return source.open_blob(descriptor, advance=advance, sink=None)
    with suppress(FileNotFoundError):
        return cache.open(descriptor, advance=advance)
    sink = cache.arrivals.begin(descriptor, cache.temporary_blob())
    try:
        return source.open_blob(descriptor, advance=advance, sink=sink)
    except BaseException:
        sink.abort()
        raise
