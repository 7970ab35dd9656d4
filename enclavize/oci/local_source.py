"""What the sources of this machine have in common, wherever they find their blobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, BinaryIO

from enclavize.oci.stream import verified

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.stream import Readable, Sink


class LocalSource(ABC):
    """Blobs that are here: no registry has them to mount, and the cache needs no copy (see source.py)."""

    origin = None
    remote = False

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a blob. Raises what ``_find`` raises."""
        stream, what = self._find(descriptor.digest)
        return verified(stream, descriptor, what, advance=advance, sink=sink)

    @abstractmethod
    def _find(self, digest: Digest) -> tuple[Readable, str]:
        """Open the bytes of a blob; return also what errors call it.

        Raises MissingBlobError, InvalidImageError if there is none.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what is open."""
