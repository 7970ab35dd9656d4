"""The root file system of an image for ``enclavize run`` whose files stay in their layers.

    <destination>/<layers>/<number>     the layer as an uncompressed archive, the lowest is 0
    <destination>/<layers>/index        where each file is in them (data_index.py)
    <destination>/...                   the files that the host needs itself

As with an unpacked image (unpack.py), what is made belongs to the caller and has no special bits, and the
enclave verifies all that it takes from here.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.lock import locked
from enclavize.oci.storage import storage_errors
from enclavize.oci.unpacked import lock_of
from enclavize.rootfs import tar
from enclavize.rootfs.beneath import Beneath
from enclavize.rootfs.data_index import files_with_holes, write_data_index
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.index import index_image
from enclavize.rootfs.layer_file import layer_file
from enclavize.rootfs.names import path_bytes, sort_key
from enclavize.rootfs.unpack import (
    OWNER_READS_AND_WRITES,
    PERMISSIONS,
    make_directories,
    make_links,
    renamed_directory,
)
from enclavize.rootfs.verity import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

INDEX = "index"


def make_layered_root(
    image: Image,
    destination: Path,
    *,
    layers: str,
    folder: str,
    needed: Callable[[Path], Iterable[str]],
    cache: BlobCache,
    reporter: Reporter,
) -> None:
    """Make ``destination``. It is there whole, or not at all; nothing is done if it is there already.

    Layers go to the folder ``layers``. Of the image's files there are those in its ``folder``, and what
    ``needed`` says when it is given the new root with that folder in it: paths, with all that is below them
    and the links that lead there. Callers that want the same one wait for the first. Raises EnclavizeError.
    """
    if destination.is_dir():
        return
    rootfs = index_image(image, cache=cache, reporter=reporter, keep_layers=True)
    with storage_errors("unpack to", destination):
        destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = lock_of(destination)
        with locked(lock):
            if destination.is_dir():
                return
            with renamed_directory(destination) as root:
                files = _link_layers(image, root / layers, cache, reporter)
                _index(rootfs, files, root / layers)
                with Beneath(root) as beneath:
                    writer = _Writer(rootfs, files, beneath)
                    writer.write([folder])
                    writer.write(needed(root))
                lock.write_text(str(_size_of(root, files)))


def _link_layers(image: Image, folder: Path, cache: BlobCache, reporter: Reporter) -> list[Path]:
    folder.mkdir(parents=True)
    layers = [folder / str(number) for number in range(len(image.layers))]
    for number, link in enumerate(layers):
        link.hardlink_to(layer_file(image, number, cache=cache, reporter=reporter))
    return layers


def _index(rootfs: Rootfs, layers: Sequence[Path], folder: Path) -> None:
    with (folder / INDEX).open("wb") as file:
        has_holes = write_data_index(rootfs.entries, len(layers), file)
    if not has_holes:
        return
    with (folder / str(len(layers))).open("wb") as file:
        for entry in files_with_holes(rootfs.entries):
            with layers[entry.layer].open("rb") as layer:
                what = f"layer {entry.layer}"
                reader = tar.TarReader(decompressed(layer, what), what)
                for member, _ in enumerate(reader):
                    if member == entry.member:
                        file.writelines(reader.pieces())
                        break


def _size_of(root: Path, layers: Sequence[Path]) -> int:
    """Return the bytes of all but the layers, whose room others share."""
    paths = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return sum(BLOCK_SIZE + path.lstat().st_size for path in paths if path not in layers)


class _Writer:
    """Writes parts of a tree, none twice."""

    def __init__(self, rootfs: Rootfs, layers: Sequence[Path], beneath: Beneath) -> None:
        self._rootfs = rootfs
        self._layers = layers
        self._beneath = beneath
        self._written: set[str] = {""}

    def write(self, paths: Iterable[str]) -> None:
        """Write what is at and below these paths, and what leads there."""
        found: dict[str, Entry] = {}
        for path in paths:
            try:
                passed, end = self._rootfs.way(path)
            except OSError:  # links in a circle: the host has nothing there
                continue
            found |= {entry.path: entry for entry in passed}
            found |= {entry.path: entry for entry in self._rootfs.entries.below({end})}
        missing = sorted(found.keys() - self._written, key=sort_key)
        self._written.update(missing)
        entries = [found[path] for path in missing]
        make_directories(entries, self._beneath)
        firsts: dict[str, str] = {}
        for entry in entries:
            first = firsts.setdefault(entry.data_path, entry.path)
            if entry.type is FileType.REGULAR and first == entry.path:
                self._write_file(entry)
        make_links([replace(entry, data_path=firsts[entry.data_path]) for entry in entries], self._beneath)

    def _write_file(self, entry: Entry) -> None:
        mode = entry.mode & PERMISSIONS | OWNER_READS_AND_WRITES
        source, at = self._place_of(entry)
        with (
            source.open("rb", buffering=0) as layer,
            os.fdopen(self._beneath.create(path_bytes(entry.path), mode), "wb", buffering=0) as file,
        ):
            end = at + entry.size
            while at < end:
                sent = os.sendfile(file.fileno(), layer.fileno(), at, end - at)
                if not sent:
                    raise OSError(errno.EIO, "the layer was cut short", str(source))
                at += sent

    def _place_of(self, entry: Entry) -> tuple[Path, int]:
        """Return the file that has the content of a file, and where."""
        if entry.data_offset:
            return self._layers[entry.layer], entry.data_offset
        before = 0
        for other in files_with_holes(self._rootfs.entries):
            if other.path == entry.data_path:
                break
            before += other.size
        return self._layers[0].with_name(str(len(self._layers))), before
