"""Index images that tests make of tar members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.index import index_image
from support.images import build_image, write_layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.oci.media_types import Compression
    from enclavize.rootfs.tree import Rootfs
    from support.images import Layer, Member


def image_of(
    folder: Path, layers: Sequence[Layer | Sequence[Member]], compression: Compression = "none"
) -> Image:
    """Write a layout into ``folder`` and resolve its only image; blobs are cached in ``folder``/cache."""
    layout = write_layout(folder / "layout", {"1": build_image(layers, compression=compression)})
    return resolve(parse_location(f"oci:{layout}:1"), cache=cache_of(folder), reporter=Reporter())


def cache_of(folder: Path) -> BlobCache:
    """Return the cache that belongs to ``folder``."""
    return BlobCache(folder / "cache")


def index_layers(
    folder: Path, layers: Sequence[Layer | Sequence[Member]], compression: Compression = "none"
) -> Rootfs:
    """Return the merged tree of an image of these layers."""
    return index_image(image_of(folder, layers, compression), cache=cache_of(folder), reporter=Reporter())
