"""Make an image of a tree, as Occlum's own tool does: unless they are encrypted, with the very same files."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.libos.occlum.sefs.output import atomic_folder
from enclavize.libos.occlum.sefs.protection import protection_for
from enclavize.libos.occlum.sefs.reader import ProtectedFile
from enclavize.libos.occlum.sefs.structures import (
    BLOCK_SIZE,
    FREE_MAP,
    GROUP_BLOCKS,
    METADATA,
    PERMISSIONS,
    ROOT,
    WIDE,
    Inode,
    InodeType,
    image_file_id,
    next_inode,
    pack_free_map,
    pack_inode,
    pack_superblock,
)
from enclavize.libos.occlum.sefs.tree import show, walk
from enclavize.libos.occlum.sefs.writer import ContentChangedError, PieceReader, ProtectedFileWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from enclavize.libos.occlum.sefs.protection import Protection
    from enclavize.libos.occlum.sefs.structures import (
        Records,
    )
    from enclavize.libos.occlum.sefs.tree import TreeNode
    from enclavize.libos.occlum.sefs.writer import Readable


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed. ``root_mac`` binds all of it; ``size`` is that of all files' contents."""

    root_mac: bytes
    inodes: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Numbered:
    """A node with its inode number and that of its directory; ``children`` of a directory, sorted."""

    number: int
    parent: int
    path: bytes
    node: TreeNode
    children: Sequence[_Numbered] = ()


def pack(
    root: TreeNode,
    destination: Path,
    *,
    key: bytes | None = None,
    records: Records = WIDE,
    stream: Iterable[tuple[bytes, Readable]] = (),
    advance: Callable[[int], None] | None = None,
) -> Packed:
    """Write the image of a tree into a new folder; with a key, encrypted. ``advance`` hears of bytes done.

    ``records`` are those of the Occlum that is to mount it.

    ``stream`` gives contents of files, by path without the first slash, in an order of its own; those that
    it does not give are opened. Two images without a key are identical if their trees are; with one, no two
    are. Raises EnclavizeError; for what the image cannot hold before anything is written.
    """
    packing = _Packing(root, protection_for(key), records)
    with atomic_folder(destination) as folder:
        for path, content in stream:
            packing.write(folder, packing.at(path), content, advance)
        for item in packing.left():
            with packing.open(folder, item) as content:
                packing.write(folder, item, content, advance)
        mac = packing.finish(folder)
    return Packed(root_mac=mac, inodes=len(packing.items), size=sum(item.node.size for item in packing.items))


class _Packing:
    """Writes the file of each inode once, in any order, then the metadata."""

    def __init__(self, root: TreeNode, protection: Protection, records: Records) -> None:
        self._records = records
        self.items = _number(root)
        self._by_path = {item.path: item for item in self.items}
        self._protection = protection
        self._writer = ProtectedFileWriter(protection)
        self._metadata = bytearray(_metadata_size(self.items[-1].number, records))
        self._done: set[int] = set()

    def at(self, path: bytes) -> _Numbered:
        """Return a file of the tree."""
        return self._by_path[b"/" + path]

    def left(self) -> Iterator[_Numbered]:
        """Yield what was not written yet; what is read from the image comes last."""
        for item in sorted(self.items, key=lambda item: item.node.same_as is not None):
            if item.number not in self._done:
                yield item

    @contextmanager
    def open(self, folder: Path, item: _Numbered) -> Iterator[Readable]:
        """Give what the file of an inode holds."""
        if item.node.same_as is None:
            with _open(item, self._records) as content:
                yield content
            return
        name = image_file_id(self.at(item.node.same_as).number).hex()
        with (folder / name).open("rb", buffering=0) as file:
            yield PieceReader(ProtectedFile(file, name.encode(), self._protection).pieces())

    def write(
        self, folder: Path, item: _Numbered, content: Readable, advance: Callable[[int], None] | None
    ) -> None:
        """Write the file of an inode, and its block of the metadata."""
        inode = _write_inode(self._writer, folder, item, content, self._records)
        offset = item.number * BLOCK_SIZE
        record = pack_inode(inode, self._records)
        self._metadata[offset : offset + len(record)] = record
        self._done.add(item.number)
        if advance:
            advance(inode.size)

    def finish(self, folder: Path) -> bytes:
        """Write the metadata; return its MAC."""
        _write_maps(self._metadata, self.items[-1].number, len(self.items))
        return _write_file(self._writer, folder / METADATA, io.BytesIO(self._metadata), len(self._metadata))


def _number(root: TreeNode) -> list[_Numbered]:
    """Give all nodes numbers, in the order in which Occlum's tool makes inodes."""
    inside: list[_Numbered] = []
    numbered = [_Numbered(number=ROOT, parent=ROOT, path=b"", node=root, children=inside)]
    folders = {b"": (ROOT, inside)}
    for path, node in walk(root):
        parent, siblings = folders[path.rpartition(b"/")[0]]
        number = next_inode(numbered[-1].number)
        children: Sequence[_Numbered] = ()
        if node.type is InodeType.DIRECTORY:
            children = inside = []
            folders[path] = (number, inside)
        item = _Numbered(number=number, parent=parent, path=path, node=node, children=children)
        numbered.append(item)
        siblings.append(item)
    return numbered


def _write_inode(
    writer: ProtectedFileWriter, folder: Path, item: _Numbered, content: Readable, records: Records
) -> Inode:
    node = item.node
    file_id = image_file_id(item.number)
    is_folder = node.type is InodeType.DIRECTORY
    links = 2 + sum(child.type is InodeType.DIRECTORY for child in node.children) if is_folder else 1
    entries = 2 + len(node.children) if is_folder else 0
    try:
        mac = _write_file(writer, folder / file_id.hex(), content, node.size or entries * records.entry.size)
    except ContentChangedError as error:
        raise EnclavizeError(f"{show(item.path)} {error}", hint="try again") from error
    return Inode(
        number=item.number,
        type=node.type,
        mode=node.mode & PERMISSIONS,
        size=node.size,
        links=links,
        entries=entries,
        file_id=file_id,
        mac=mac,
    )


def _open(item: _Numbered, records: Records) -> Readable:
    """Open what the file of an inode holds."""
    match item.node.type:
        case InodeType.FILE:
            try:
                return item.node.open()
            except OSError as error:
                raise EnclavizeError(f"cannot read {show(item.path)}: {error.strerror}") from error
        case InodeType.SYMLINK:
            return io.BytesIO(item.node.target)
        case InodeType.DIRECTORY:
            return io.BytesIO(_directory(item, records))


def _directory(item: _Numbered, records: Records) -> bytes:
    """Return the content of a directory."""
    own = (
        records.pack_entry(item.number, b".", InodeType.DIRECTORY),
        records.pack_entry(item.parent, b"..", InodeType.DIRECTORY),
    )
    children = (records.pack_entry(child.number, child.node.name, child.node.type) for child in item.children)
    return b"".join((*own, *children))


def _write_file(writer: ProtectedFileWriter, path: Path, content: Readable, size: int) -> bytes:
    with path.open("xb", buffering=0) as output:
        return writer.write(output, path.name.encode(), content, size)


def _metadata_size(last: int, records: Records) -> int:
    """Return how long the metadata is: to the end of the last inode, or of the free map of the last group."""
    free_map = last // GROUP_BLOCKS * GROUP_BLOCKS + FREE_MAP
    return max(last * BLOCK_SIZE + records.inode.size, (free_map + 1) * BLOCK_SIZE)


def _write_maps(metadata: bytearray, last: int, inodes: int) -> None:
    groups = last // GROUP_BLOCKS + 1
    superblock = pack_superblock(groups, 1 + groups + inodes)
    metadata[: len(superblock)] = superblock
    for group in range(groups):
        offset = (group * GROUP_BLOCKS + FREE_MAP) * BLOCK_SIZE
        metadata[offset : offset + BLOCK_SIZE] = pack_free_map(group, last)
