"""An image as the pipeline sees it: exact manifest and configuration bytes, and layers that can be opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.oci.image_config import parse_config

if TYPE_CHECKING:
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image_config import ImageConfig
    from enclavize.oci.source import Source


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image for one platform. Its layers are opened with ``source.open_blob``.

    ``ambiguities`` tell why another reader could take its name for another image, ``oddities`` what only some
    take, and what was left out of it. ``archive_size`` are the bytes of the compressed archive that it is in,
    None if it is in none.
    """

    name: str
    manifest: Descriptor
    manifest_bytes: bytes
    config_bytes: bytes
    layers: tuple[Descriptor, ...]
    source: Source
    ambiguities: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()
    archive_size: int | None = None

    def stored_size(self, layer: Descriptor) -> int:
        """Return the bytes that a layer really takes, at most: a compressed archive can hold a larger one."""
        return layer.size if self.archive_size is None else min(layer.size, self.archive_size)

    def require_one_reading(self) -> None:
        """Refuse an image that others may read otherwise, before trust is put in it.

        Raises InvalidImageError.
        """
        if reasons := (*self.ambiguities, *self.oddities):
            raise InvalidImageError(
                f"{self.name} is not the same image to all readers: {reasons[0]}",
                hint="name the image by the digest of its own manifest, or have it written again",
            )

    @cached_property
    def config(self) -> ImageConfig:
        """The parsed configuration. Raises InvalidImageError."""
        return parse_config(self.config_bytes, f"the configuration of {self.name}")


def spelling(misspelled: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return the ambiguity of names that only some readers find, if there are any."""
    return (f"{what} spells {misspelled[0][:100]!r} otherwise than the format",) if misspelled else ()
