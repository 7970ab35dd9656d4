"""Layers as uncompressed archives, each kept once for all images that have it: places in them can be read.

    <cache>/blobs/layers/<hex of the diff id>

Images that were unpacked have them as hard links, so one that is removed here is still theirs.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.lock import locked
from enclavize.oci.cache import touch
from enclavize.oci.digest import hex_of, new_hash, short
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.pruning import LAYERS
from enclavize.oci.storage import storage_errors
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.layer import size_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter

_READABLE = 0o444


def layer_file(image: Image, number: int, *, cache: BlobCache, reporter: Reporter) -> Path:
    """Return the archive of layer ``number`` of an image; it is made, and verified, if it is not there.

    Raises IntegrityError if the layer is not what its diff id says, and what fetching it raises.
    """
    diff_id = image.config.diff_ids[number]
    path = _path(diff_id, cache)
    with layer_copy(diff_id, cache) as file:
        if file is not None:
            _copy(image, number, cache, file, reporter)
    touch(path)
    return path


@contextmanager
def layer_copy(diff_id: Digest, cache: BlobCache) -> Iterator[BinaryIO | None]:
    """Open the archive for writing, by whoever has verified it when the block ends; None: it is there.

    Others that want to write the same one wait meanwhile.
    """
    path = _path(diff_id, cache)
    with storage_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path.with_name(f"{path.name}.lock")):
            if path.is_file():
                yield None
            else:
                with _renamed_file(path) as file:
                    yield file


def _path(diff_id: Digest, cache: BlobCache) -> Path:
    return cache.folder(LAYERS) / hex_of(diff_id)


def _copy(image: Image, number: int, cache: BlobCache, file: BinaryIO, reporter: Reporter) -> None:
    layer, diff_id = image.layers[number], image.config.diff_ids[number]
    what = f"layer {short(layer.digest)}"
    content = new_hash(diff_id)
    limit = size_limit(image.stored_size(layer))
    with (
        reporter.task(f"unpack {what}", total=layer.size) as task,
        fetch_blob(image, layer, cache, task) as blob,
    ):
        for chunk in decompressed(blob, what):
            limit -= len(chunk)
            if limit < 0:
                raise InvalidImageError(f"{what} has become larger since it was indexed")
            content.update(chunk)
            file.write(chunk)
        found = f"{content.name}:{content.hexdigest()}"
        if found != diff_id:
            raise IntegrityError(
                f"{what} has the content {found}, but the image's configuration says {diff_id}"
            )


@contextmanager
def _renamed_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name if the block ends well; remove what killed processes left."""
    prefix = f".{path.name}-"
    for stale in path.parent.glob(f"{prefix}*"):
        stale.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            os.fchmod(file.fileno(), _READABLE)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
