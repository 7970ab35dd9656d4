"""TEE images of older versions: for tests that need one of each LibOS, and no key."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import zstandard

from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.unpack import unpack_layers
from support.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

KEPT = REPOSITORY / "tests" / "assets" / "tee-images"


def kept_layout(libos: str, layout: Path, version: int = 1) -> Path:
    """Write the kept image of a format version as a layout."""
    data = (KEPT / f"v{version}-{libos}.tar.zst").read_bytes()
    plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 26)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        archive.extractall(layout, filter="data")
    return layout


def unpack(layout: Path, tree: Path) -> Path:
    """Unpack the only image of a layout; return its root."""
    cache = BlobCache(tree.with_name(f"{tree.name}-cache"))
    image = resolve(parse_location(f"oci:{layout}"), cache=cache, reporter=Reporter())
    try:
        unpack_layers(image, tree, cache=cache, reporter=Reporter())
    finally:
        image.source.close()
    return tree


def pins_of_gramine(tree: Path) -> str:
    """Return what ``enclavize toolchain digests`` would say of the Gramine in an unpacked image."""
    folder = tree / ".enclave"
    names = sorted(path.relative_to(folder) for path in (folder / "gramine").rglob("*") if path.is_file())
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
