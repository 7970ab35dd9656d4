"""TEE images unpacked for ``enclavize run``: once for each image, below the user's cache folder.

    <cache>/unpacked/<hex>/             the image with the manifest sha256:<hex>; it got its name by rename
    <cache>/unpacked/<hex>.partial/     being unpacked by whoever holds the lock
    <cache>/unpacked/<hex>.lock

A run that is killed loses its lock, and the next one begins with an empty ``.partial``. Runs share the tree
and do not write to it. Whoever changes its files later is noticed in the enclave, by their fs-verity digests.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.oci.digest import hex_of, short
from enclavize.oci.location import RegistryLocation
from enclavize.oci.storage import storage_errors
from enclavize.rune.lock import locked
from enclavize.tee.layout import DESCRIPTION, ENTRYPOINT, ROOT

if TYPE_CHECKING:
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter


def unpacked_image(location: Location, *, cache: BlobCache, insecure: bool, reporter: Reporter) -> Path:
    """Return the root of the unpacked TEE image. Raises EnclavizeError.

    A digest that was unpacked before needs no registry; a tag is looked up there.
    """
    from enclavize.oci.source import resolve

    store = cache.root.parent / "unpacked"
    if isinstance(location, RegistryLocation) and (digest := location.reference.digest):
        tree = store / hex_of(digest)
        if tree.is_dir():
            return tree
    image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
    try:
        if image.config.entrypoint != (ENTRYPOINT,):
            raise InvalidImageError(
                f"{image.name} is not a TEE image",
                hint=f"make one of it: enclavize build {image.name} -t NAME",
            )
        return _unpack_once(image, store, cache, reporter)
    finally:
        image.source.close()


def _unpack_once(image: Image, store: Path, cache: BlobCache, reporter: Reporter) -> Path:
    digest = image.manifest.digest
    tree, partial = store / hex_of(digest), store / f"{hex_of(digest)}.partial"
    with storage_errors("write", store):
        store.mkdir(parents=True, exist_ok=True)
        with locked(store / f"{hex_of(digest)}.lock"):
            if not tree.is_dir():
                from enclavize.rootfs.unpack import unpack_layers

                remove_tree(partial)
                with reporter.task(f"unpack {short(digest)}"):
                    unpack_layers(image, partial, cache=cache, reporter=reporter)
                if not (partial / ROOT / DESCRIPTION).is_file():
                    raise InvalidImageError(
                        f"{image.name} is not a TEE image: it has no /{ROOT}/{DESCRIPTION}"
                    )
                partial.rename(tree)
    return tree


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is below it, whatever the modes of its folders are."""
    if not path.is_dir():
        return
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path)
