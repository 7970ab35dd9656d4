"""The tree of an OCI image as Occlum can hold it, and its contents in the order of the layers.

Nothing is unpacked: what is packed comes straight from the layers' archives, each read once.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.libos.occlum.sefs.structures import PERMISSIONS, InodeType
from enclavize.libos.occlum.sefs.tree import TreeNode, symlink
from enclavize.libos.occlum.sefs.writer import PieceReader
from enclavize.libos.occlum.tree_builder import TreeBuilder
from enclavize.oci.digest import short
from enclavize.oci.fetch import fetch_blob
from enclavize.rootfs import tar
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import path_bytes, printable
from enclavize.rootfs.readahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from enclavize.libos.occlum.sefs.writer import Readable
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_SHOWN = 5
_AHEAD = 4
"""Pieces that are inflated while earlier ones are written."""


class ImageTree:
    """The tree of an image. ``builder`` may be changed until ``root`` is called."""

    def __init__(self, rootfs: Rootfs, image: Image, warn: Callable[[str], None]) -> None:
        """``warn`` hears of what is lost."""
        self._image = image
        self._files = [entry for entry in rootfs.entries if entry.type is FileType.REGULAR]
        self._nodes = {
            path_bytes(entry.path): node for entry in rootfs.entries[1:] if (node := _node(entry)) is not None
        }
        self._sources: list[dict[int, bytes]] = [{} for _ in image.layers]
        self.builder = TreeBuilder(self._nodes)
        if dropped := [entry.path for entry in rootfs.entries[1:] if _node(entry) is None]:
            warn(f"devices and FIFOs are left out: {_some(dropped)}")
        if privileged := [entry.path for entry in self._files if entry.mode & ~PERMISSIONS]:
            warn(f"setuid and setgid bits are lost: {_some(privileged)}")

    def root(self) -> TreeNode:
        """Return the tree as it is now. Of hard links, all but the first take their content from that."""
        firsts: dict[str, bytes] = {}
        for entry in self._files:
            path = path_bytes(entry.path)
            node = self.builder.get(path)
            if node is None or node is not self._nodes[path]:
                continue
            first = firsts.setdefault(entry.data_path, path)
            if first == path:
                self._sources[entry.layer][entry.member] = path
            else:
                self.builder.put(path, replace(node, same_as=first))
        return self.builder.root()

    def contents(self, cache: BlobCache, reporter: Reporter) -> Iterator[tuple[bytes, Readable]]:
        """Yield files that still are the image's, in the order of its layers. Raises EnclavizeError."""
        for layer, wanted in zip(self._image.layers, self._sources, strict=True):
            if not wanted:
                continue
            what = f"layer {short(layer.digest)}"
            with (
                reporter.task(f"pack {what}", total=layer.size) as task,
                fetch_blob(self._image, layer, cache, task) as blob,
                closing(read_ahead(decompressed(blob, what), _AHEAD)) as chunks,
            ):
                reader = tar.TarReader(chunks, what)
                for member, _ in enumerate(reader):
                    if member in wanted:
                        yield wanted[member], PieceReader(reader.pieces())
                for _ in chunks:  # reading the blob to its end verifies it
                    pass


def _node(entry: Entry) -> TreeNode | None:
    """Return the node of an entry; None for what Occlum's images cannot hold."""
    name = path_bytes(entry.path).rpartition(b"/")[2]
    match entry.type:
        case FileType.DIRECTORY:
            return TreeNode(name=name, type=InodeType.DIRECTORY, mode=entry.mode & PERMISSIONS)
        case FileType.SYMLINK:
            return symlink(name, path_bytes(entry.link_target))
        case FileType.REGULAR:
            return TreeNode(name=name, type=InodeType.FILE, mode=entry.mode & PERMISSIONS, size=entry.size)
        case _:
            return None


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(f"/{printable(path)}" for path in paths[:_SHOWN]) + more
