"""Write the measured tree: a metadata-only EROFS image and Merkle trees (rootfs.erofs, rootfs.verity).

The format, and why it is so, is in docs/rootfs.md; structures are those of fs/erofs/erofs_fs.h in Linux.
Names below are the kernel's without their ``EROFS_`` prefix.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import InvalidImageError
from enclavize.rootfs.entry import STAT_TYPE, FileType
from enclavize.rootfs.erofs_image import ErofsImage
from enclavize.rootfs.names import path_bytes, printable
from enclavize.rootfs.native_erofs import write_natively
from enclavize.rootfs.native_merge import MergedTree
from enclavize.rootfs.verity import BLOCK_SIZE, VerityStream, tree_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

SUPER_OFFSET = 1024
SUPER_MAGIC_V1 = 0xE0F5E1E2
FEATURE_COMPAT_MTIME = 0x2
FEATURE_INCOMPAT_CHUNKED_FILE = 0x4
SLOT_SIZE = 32
NULL_ADDR = 0xFFFFFFFF
CHUNK_BITS = 31
"""log2 of the blocks in a chunk, the most that the format can say: one hole covers any file."""

MAX_FILE_SIZE = BLOCK_SIZE << CHUNK_BITS
MAX_INLINE_ALWAYS = 64
"""Regular files of up to this many bytes are in the image: their digests would take as much."""
MAX_INLINE_NAMED = 64 * 1024
"""Largest file that is in the image because the build names it."""

INODE_FLAT_PLAIN = 0
INODE_FLAT_INLINE = 2
INODE_CHUNK_BASED = 4

_SUPER_BLOCK = struct.Struct("<IIIBBHQQIIII16s16sI44x")
_INODE_EXTENDED = struct.Struct("<HHHHQIIIIqII16x")
_DIRENT = struct.Struct("<QHBB")
_XATTR_HEADER = struct.Struct("<IB7x")
_XATTR_ENTRY = struct.Struct("<BBH")
_METACOPY = struct.Struct("<BBBB32s")
"""struct ovl_metacopy (fs/overlayfs/overlayfs.h): version, length, flags, digest algorithm, digest."""

FIRST_INODE = SUPER_OFFSET + _SUPER_BLOCK.size

DIRENT_TYPE = {
    FileType.REGULAR: 1,
    FileType.DIRECTORY: 2,
    FileType.CHARACTER_DEVICE: 3,
    FileType.BLOCK_DEVICE: 4,
    FileType.FIFO: 5,
    FileType.SYMLINK: 7,
}

XATTR_METACOPY = "trusted.overlay.metacopy"
XATTR_REDIRECT = "trusted.overlay.redirect"
XATTR_MERKLE = "trusted.enclavize.merkle"
RESERVED_XATTRS = ("trusted.overlay.", "trusted.enclavize.")
XATTR_PREFIXES = (
    ("user.", 1),
    ("system.posix_acl_access", 2),
    ("system.posix_acl_default", 3),
    ("trusted.", 4),
    ("security.", 6),
)


@dataclass(kw_only=True, slots=True)
class _Inode:
    """An inode on its way to the image: sizes first, then its place, then its bytes."""

    entry: Entry
    number: int
    parent: _Inode | None
    links: int = 1
    merkle: int = 0
    on_host: bool = False
    content: bytes | None = None
    children: list[tuple[bytes, _Inode]] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    """Directories: how many entries stand in each block."""
    size: int = 0
    xattrs: bytes = b""
    layout: int = INODE_FLAT_PLAIN
    offset: int = 0
    start_block: int = 0

    @property
    def nid(self) -> int:
        return self.offset // SLOT_SIZE

    @property
    def tail_size(self) -> int:
        """Bytes of the body after the xattrs."""
        match self.layout:
            case 2:
                return self.size % BLOCK_SIZE
            case 4:
                return 4
            case _:
                return 0

    @property
    def body_size(self) -> int:
        return _INODE_EXTENDED.size + len(self.xattrs) + self.tail_size

    @property
    def block_count(self) -> int:
        match self.layout:
            case 2:
                return self.size // BLOCK_SIZE
            case 4:
                return 0
            case _:
                return -(-self.size // BLOCK_SIZE)


def write_erofs(rootfs: Rootfs, output: Path, verity_output: Path, *, inline: frozenset[str]) -> ErofsImage:
    """Write both files; they depend on the merged tree and on ``inline`` alone.

    ``inline`` names files whose content is kept in the image (if it is known and has at most 64 KiB), so that
    the host is never asked for it.
    """
    contents = _named_contents(rootfs, inline)
    with output.open("wb") as image, verity_output.open("wb") as verity:
        if isinstance(rootfs.entries, MergedTree):
            written = write_natively(rootfs.entries, contents, image.fileno(), verity.fileno())
            if written is not None:
                return written
            image.truncate(0)
            verity.truncate(0)
        return _write(rootfs, contents, image, verity)


def _write(rootfs: Rootfs, contents: Mapping[str, bytes], image: BinaryIO, verity: BinaryIO) -> ErofsImage:
    inodes = _collect(rootfs, contents)
    size = _place(inodes)
    _place_merkle_trees(inodes, first=tree_size(size))

    def write_tree(offset: int, hashes: bytes) -> None:
        verity.seek(offset)
        verity.write(hashes)

    tree = VerityStream(size, write_tree)
    written = 0
    for piece in _image_bytes(inodes, size):
        image.write(piece)
        tree.update(piece)
        written += len(piece)
    if written != size:
        raise AssertionError(f"wrote {written} bytes of an image of {size}")
    digest = tree.finish()
    verity.seek(tree_size(size))
    _write_merkle_trees(rootfs, inodes, verity)
    return ErofsImage(size=size, digest=digest, verity_size=verity.tell())


def _collect(rootfs: Rootfs, contents: Mapping[str, bytes]) -> list[_Inode]:
    """Make one inode for each file, in the order of their paths."""
    by_data_path: dict[str, _Inode] = {}
    directories: dict[str, _Inode] = {}
    inodes: list[_Inode] = []
    for entry in rootfs.entries:
        folder, _, name = entry.path.rpartition("/")
        parent = directories[folder] if entry.path else None
        data_path = entry.data_path or entry.path
        inode = None if entry.type is FileType.DIRECTORY else by_data_path.get(data_path)
        if inode is None:
            inode = _Inode(entry=entry, number=len(inodes) + 1, parent=parent, size=entry.size)
            inodes.append(inode)
            match entry.type:
                case FileType.DIRECTORY:
                    directories[entry.path] = inode
                    inode.links = 2
                    if parent is not None:
                        parent.links += 1
                case FileType.REGULAR:
                    inode.content = contents.get(data_path, entry.content)
                    inode.on_host = not (data_path in contents or _is_small(entry))
                    by_data_path[data_path] = inode
                case _:
                    by_data_path[data_path] = inode
        else:
            inode.links += 1
        if parent is not None:
            parent.children.append((path_bytes(name), inode))
    return inodes


def _named_contents(rootfs: Rootfs, inline: frozenset[str]) -> dict[str, bytes]:
    """Return the content of the named files by data path, of those that are not too large for the image."""
    contents: dict[str, bytes] = {}
    for entry in filter(None, map(rootfs.find, sorted(inline))):
        if entry.size <= MAX_INLINE_NAMED and (content := rootfs.content(entry)) is not None:
            contents[entry.data_path or entry.path] = content
    return contents


def _is_small(entry: Entry) -> bool:
    """Tell whether the content of a regular file goes into the image, whatever its path is."""
    if entry.size > MAX_FILE_SIZE:
        raise InvalidImageError(f"/{printable(entry.path)} has more than {MAX_FILE_SIZE} bytes")
    return entry.size <= MAX_INLINE_ALWAYS


def _place(inodes: list[_Inode]) -> int:
    """Give each inode its layout, place and data blocks; return the size of the image."""
    offset = FIRST_INODE
    for inode in inodes:
        if inode.entry.type is FileType.DIRECTORY:
            inode.children.append((b".", inode))
            inode.children.append((b"..", inode.parent or inode))
            inode.children.sort(key=lambda child: child[0])
            inode.blocks, inode.size = _directory_blocks([name for name, _ in inode.children])
        inode.xattrs = _xattr_area(inode)
        inode.layout = _layout(inode)
        room = BLOCK_SIZE - offset % BLOCK_SIZE
        if inode.body_size > room:
            offset += room
        inode.offset = offset
        offset += inode.body_size + -inode.body_size % SLOT_SIZE
    block = -(-offset // BLOCK_SIZE)
    for inode in inodes:
        if inode.block_count:
            inode.start_block = block
            block += inode.block_count
    return block * BLOCK_SIZE


def _layout(inode: _Inode) -> int:
    """Choose the data layout: inline where the tail fits into one block together with the inode."""
    if inode.on_host:
        return INODE_CHUNK_BASED
    tail = inode.size % BLOCK_SIZE
    fits = _INODE_EXTENDED.size + len(inode.xattrs) + tail <= BLOCK_SIZE
    has_data = inode.entry.type in {FileType.REGULAR, FileType.DIRECTORY, FileType.SYMLINK}
    return INODE_FLAT_INLINE if has_data and tail and fits else INODE_FLAT_PLAIN


def _directory_blocks(names: list[bytes]) -> tuple[list[int], int]:
    """Return how many of the names each block takes, and the bytes of the directory."""
    counts: list[int] = []
    used = count = 0
    for name in names:
        need = _DIRENT.size + len(name)
        if used + need > BLOCK_SIZE:
            counts.append(count)
            used = count = 0
        used += need
        count += 1
    return [*counts, count], len(counts) * BLOCK_SIZE + used


def _directory_bytes(inode: _Inode) -> bytes:
    """Return the blocks of a directory; the last one is not filled up."""
    blocks = []
    first = 0
    for count in inode.blocks:
        children = inode.children[first : first + count]
        first += count
        name_offset = count * _DIRENT.size
        dirents = bytearray()
        for name, child in children:
            dirents += _DIRENT.pack(child.nid, name_offset, DIRENT_TYPE[child.entry.type], 0)
            name_offset += len(name)
        blocks.append(bytes(dirents) + b"".join(name for name, _ in children))
    return b"".join(block.ljust(BLOCK_SIZE, b"\0") for block in blocks[:-1]) + blocks[-1]


def _xattr_area(inode: _Inode) -> bytes:
    """Return the xattrs of an inode as they stand after it."""
    entry = inode.entry
    xattrs = {name: value for name, value in entry.xattrs.items() if not name.startswith(RESERVED_XATTRS)}
    if inode.on_host:
        xattrs[XATTR_METACOPY] = _METACOPY.pack(0, _METACOPY.size, 0, 1, entry.verity)
        if entry.size > BLOCK_SIZE:
            xattrs[XATTR_MERKLE] = struct.pack("<Q", inode.merkle)
        if inode.links > 1:
            xattrs[XATTR_REDIRECT] = b"/" + path_bytes(entry.path)
    items = []
    for name, value in xattrs.items():
        for prefix, index in XATTR_PREFIXES:
            if name.startswith(prefix) and (name == prefix) == (index in {2, 3}):
                items.append((index, path_bytes(name[len(prefix) :]), value))
    area = bytearray()
    for index, suffix, value in sorted(items):
        area += _XATTR_ENTRY.pack(len(suffix), index, len(value)) + suffix + value
        area += bytes(-len(area) % 4)
    return _XATTR_HEADER.pack(0, 0) + bytes(area) if area else b""


def _place_merkle_trees(inodes: list[_Inode], *, first: int) -> None:
    """Give each tree its offset; files of equal content share one. Sizes of xattrs do not depend on it."""
    offsets: dict[bytes, int] = {}
    for inode in inodes:
        if inode.on_host and inode.entry.size > BLOCK_SIZE:
            known = offsets.get(inode.entry.verity)
            if known is None:
                known = offsets[inode.entry.verity] = first
                first += tree_size(inode.entry.size)
            inode.merkle = known
            inode.xattrs = _xattr_area(inode)


def _write_merkle_trees(rootfs: Rootfs, inodes: list[_Inode], verity: BinaryIO) -> None:
    """Append the trees of the files, each at the offset that its inode names."""
    for inode in inodes:
        if inode.on_host and inode.entry.size > BLOCK_SIZE and inode.merkle == verity.tell():
            verity.write(rootfs.merkle(inode.entry))


def _image_bytes(inodes: list[_Inode], size: int) -> Iterator[bytes]:
    """Yield the image from its first byte to its last."""
    yield bytes(SUPER_OFFSET)
    yield _SUPER_BLOCK.pack(
        SUPER_MAGIC_V1, 0, FEATURE_COMPAT_MTIME, 12, 0, inodes[0].nid, len(inodes), 0, 0, size // BLOCK_SIZE,
        0, 0, b"", b"", FEATURE_INCOMPAT_CHUNKED_FILE,
    )  # fmt: skip
    offset = FIRST_INODE
    for inode in inodes:
        body = _body(inode)
        yield bytes(inode.offset - offset)
        yield body
        offset = inode.offset + len(body)
    yield bytes(-offset % BLOCK_SIZE)
    for inode in inodes:
        if inode.block_count:
            data = _data(inode)[: inode.block_count * BLOCK_SIZE]
            yield data
            yield bytes(-len(data) % BLOCK_SIZE)


def _body(inode: _Inode) -> bytes:
    """Return the inode, its xattrs, and the tail or chunk map."""
    entry = inode.entry
    match entry.type:
        case FileType.CHARACTER_DEVICE | FileType.BLOCK_DEVICE:
            where = _encode_device(*entry.rdev)
        case _:
            where = CHUNK_BITS if inode.on_host else inode.start_block
    core = _INODE_EXTENDED.pack(
        1 | inode.layout << 1,
        (len(inode.xattrs) - _XATTR_HEADER.size) // 4 + 1 if inode.xattrs else 0,
        STAT_TYPE[entry.type] | entry.mode,
        0,
        inode.size,
        where,
        inode.number,
        entry.uid,
        entry.gid,
        entry.mtime,
        0,
        inode.links,
    )
    match inode.layout:
        case 4:
            tail = struct.pack("<I", NULL_ADDR)
        case 2:
            tail = _data(inode)[inode.block_count * BLOCK_SIZE :]
        case _:
            tail = b""
    return core + inode.xattrs + tail


def _data(inode: _Inode) -> bytes:
    """Return the data of an inode that is in the image."""
    match inode.entry.type:
        case FileType.DIRECTORY:
            return _directory_bytes(inode)
        case FileType.SYMLINK:
            return path_bytes(inode.entry.link_target)
        case _ if inode.size == 0:
            return b""
        case _ if inode.content is None:
            raise ValueError(f"content of {inode.entry.path} was not kept")
        case _:
            return inode.content


def _encode_device(major: int, minor: int) -> int:
    """Return a device number as new_encode_dev() in include/linux/kdev_t.h does."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
