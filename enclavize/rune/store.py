"""TEE images made ready for ``enclavize run``: once for each image, below the user's cache folder.

    <cache>/unpacked/<hex>/     the image with the manifest sha256:<hex>

Files for the builtin LibOS stay in their layers: its PAL reads them there (rootfs/layered_root.py). Other
images are unpacked, since Gramine and foreign PALs open files by their names.

Runs share the tree and do not write to it. Whoever changes its files later is noticed in the enclave, by the
files' fs-verity digests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.oci.digest import hex_of
from enclavize.oci.known_image import facts_of, known_image, note_image
from enclavize.oci.location import RegistryLocation
from enclavize.oci.unpacked import in_use, unpacked_folder
from enclavize.rune.enclave import LAYERS, READS_LAYERS, RUNELETS, read_description
from enclavize.tee.annotations import FORMAT, LIBOS
from enclavize.tee.layout import ENTRYPOINT, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter

_HOST_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")


def unpacked_image(
    location: Location,
    *,
    cache_bound: Callable[[], int],
    insecure: bool,
    progress: Callable[[], AbstractContextManager[Reporter]],
) -> Path:
    """Return the root of the unpacked TEE image, in the user's cache. Raises EnclavizeError.

    A digest that was unpacked before needs no registry; a tag is looked up there. A file that is as it was is
    not read again. ``progress`` is entered if there is something to unpack, only then: a program's standard
    error should not begin with our lines.
    """
    store = unpacked_folder()
    if isinstance(location, RegistryLocation) and (digest := location.reference.digest):
        tree = store / hex_of(digest)
        if tree.is_dir():
            return tree
    facts = facts_of(location)
    if facts and (known := known_image(store, facts)):
        return known
    tree = _looked_up(location, cache_bound=cache_bound, insecure=insecure, progress=progress)
    if facts and facts == facts_of(location):  # it was this file that was read
        note_image(store, facts, tree)
    return tree


def _looked_up(
    location: Location,
    *,
    cache_bound: Callable[[], int],
    insecure: bool,
    progress: Callable[[], AbstractContextManager[Reporter]],
) -> Path:
    """Find the image, and unpack it unless it is there."""
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.resolve import resolve
    from enclavize.progress import Reporter

    cache = BlobCache()
    image = resolve(location, cache=cache, insecure=insecure, reporter=Reporter())
    try:
        labels = image.config.labels
        has_runelet = labels.get(LIBOS) in (None, *RUNELETS)
        if FORMAT not in labels or (has_runelet and image.config.entrypoint != (ENTRYPOINT,)):
            raise InvalidImageError(
                f"{image.name} is not a TEE image",
                hint=f"make one of it: enclavize build {image.name} -t NAME",
            )
        image.require_one_reading()
        tree = unpacked_folder(cache) / hex_of(image.manifest.digest)
        if not tree.is_dir():
            from enclavize.oci.pruning import prune

            max_size = cache_bound()
            with progress() as reporter:
                _make_ready(image, tree, cache, reporter)
            with in_use(tree):
                prune(cache, max_size=max_size)
        return tree
    finally:
        image.source.close()


def _make_ready(image: Image, tree: Path, cache: BlobCache, reporter: Reporter) -> None:
    if image.config.labels.get(LIBOS) != READS_LAYERS:
        from enclavize.rootfs.unpack import unpack_layers

        unpack_layers(image, tree, cache=cache, reporter=reporter)
        return
    from enclavize.rootfs.layered_root import make_layered_root

    make_layered_root(
        image, tree, layers=LAYERS, folder=ROOT, needed=_needed_on_the_host, cache=cache, reporter=reporter
    )


def _needed_on_the_host(root: Path) -> list[str]:
    """Return the paths that the enclave takes from the host as they are: volumes, and the host's files."""
    policy = read_description(root).policy
    return [*(volume.path.removeprefix("/") for volume in policy.volumes), *_HOST_FILES]
