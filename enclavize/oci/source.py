"""What an image's blobs and signatures are read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.oci.reference import ImageReference
    from enclavize.oci.stream import Sink


class Source(Protocol):
    """Something that blobs of an image can be read from, by several threads at once."""

    @property
    def origin(self) -> ImageReference | None:
        """The registry reference, where blobs can be mounted from instead of being uploaded."""
        ...

    @property
    def remote(self) -> bool:
        """Whether blobs are worth keeping in the cache once they were read."""
        ...

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a blob as a stream that raises IntegrityError if it is not what the descriptor says.

        ``advance`` is told the bytes read; ``sink`` gets a copy (see ``stream.verified``).
        """
        ...

    def close(self) -> None:
        """Release connections and files. Blobs cannot be opened any more."""
        ...


@runtime_checkable
class SignatureStore(Protocol):
    """A source that keeps signatures beside its images. ``signed`` is the SHA-256 of the manifest."""

    def find_signatures(self, signed: Digest) -> Iterator[tuple[str, ImageSignature]]:
        """Yield the signatures of a manifest, each with the place where it is. Nothing is verified.

        Raises InvalidImageError, IntegrityError for one that cannot be read.
        """
        ...

    def add_signatures(self, subject: Descriptor, signatures: Iterable[ImageSignature]) -> None:
        """Add signatures of a manifest to those that are there. Raises EnclavizeError."""
        ...
