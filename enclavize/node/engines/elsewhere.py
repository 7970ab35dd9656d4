"""Layers that an engine has thrown away: they are where the image was pulled from, under their digests."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError, MissingBlobError, UsageError
from enclavize.oci.fetch import open_through
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.reference import parse_reference
from enclavize.oci.registry.source import image_from_registry
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.reference import ImageReference


class Elsewhere:
    """An image in the registry that its name begins with, or in a mirror of it; asked once a blob is missing.

    The name only says whom to ask: manifest and blobs are those with the engine's digests. The registry gets
    the credentials that this machine has for it; those of a pod stay with the kubelet.
    """

    def __init__(self, name: str, digest: Digest, cache: BlobCache) -> None:
        self._name = name
        self._digest = digest
        self._cache = cache
        self._lock = threading.Lock()
        self._image: Image | None = None

    def open_blob(self, descriptor: Descriptor, advance: Callable[[int], None] | None) -> BinaryIO:
        """Open a blob; what was read is kept in the cache. Raises EnclavizeError."""
        try:
            with self._lock:
                if self._image is None:
                    self._image = image_from_registry(
                        self._reference(), LINUX_AMD64, auth=None, insecure=False, warn=lambda _text: None
                    )
            return open_through(self._image.source, descriptor, self._cache, advance)
        except EnclavizeError as error:
            raise MissingBlobError(
                f"a layer that the engine has thrown away cannot be fetched: {error}", hint=error.hint
            ) from error

    def close(self) -> None:
        """Close connections."""
        if self._image is not None:
            self._image.source.close()

    def _reference(self) -> ImageReference:
        reference = registry_name(self._name)
        if reference is None:
            raise MissingBlobError(f"the engine's name {printable(self._name)} names no registry")
        return replace(reference, tag=None, digest=self._digest)


def registry_name(name: str) -> ImageReference | None:
    """Return an engine's name for an image as a reference, if it begins with a registry."""
    try:
        reference = parse_reference(name)
    except UsageError:
        return None
    return reference if reference.registry == name.split("/", maxsplit=1)[0] else None
