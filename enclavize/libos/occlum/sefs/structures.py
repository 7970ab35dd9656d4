"""The records of SEFS: superblock, inodes, directory entries, and the map of free blocks.

Source: rcore-fs-sefs/src/structs.rs and lib.rs of occlum/sefs; docs/sefs.md. The file ``metadata`` consists
of blocks of 128 bytes in groups of 1024: block 0 is the superblock, block 1 of each group its free map, block
n inode n.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from enclavize.errors import IntegrityError

METADATA = "metadata"
MAGIC = 0x2F8DBE2A
BLOCK_SIZE = 128
GROUP_BLOCKS = BLOCK_SIZE * 8
FREE_MAP = 1
ROOT = 2
ROOT_MODE = 0o755
PERMISSIONS = 0o777
"""What SEFS images keep of a mode."""

NAME_MAX = 255
PATH_MAX = 4095
"""Bytes of a path or of a symbolic link's target, without the NUL that ends it."""

LINKS_MAX = 0xFFFF

SUPERBLOCK = struct.Struct("<IIII")
"""magic, blocks, free blocks, groups"""

INODE = struct.Struct("<QIHHIIII48s16s16s")
"""size, type, mode, links, directory entries, uid, gid, padding, times, id of the file, MAC of the file"""

ENTRY = struct.Struct("<I256sI")
"""inode, name, type"""


class InodeType(IntEnum):
    """Types of inodes that images have. (4 is a socket, which exists in a running LibOS alone.)"""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Inode:
    """What the block of an inode says. ``entries`` counts those of a directory, whose ``size`` is 0."""

    number: int
    type: InodeType
    mode: int
    size: int
    links: int
    entries: int
    file_id: bytes
    mac: bytes

    @property
    def file_name(self) -> str:
        """The protected file with the content."""
        return self.file_id.hex()


def image_file_id(number: int) -> bytes:
    """Return the file id that an inode has in images: its number."""
    return number.to_bytes(16, "little")


def next_inode(number: int) -> int:
    """Return the inode number after ``number``, over the free maps."""
    return number + 2 if (number + 1) % GROUP_BLOCKS == FREE_MAP else number + 1


def pack_inode(inode: Inode) -> bytes:
    """Return the record of an inode."""
    return INODE.pack(
        inode.size,
        inode.type,
        inode.mode,
        inode.links,
        inode.entries,
        0,
        0,
        0,
        b"",
        inode.file_id,
        inode.mac,
    )


def parse_inode(number: int, block: bytes) -> Inode:
    """Read the record of an inode. Raises IntegrityError."""
    size, kind, mode, links, entries, _uid, _gid, _pad, _times, file_id, mac = INODE.unpack_from(block)
    try:
        inode_type = InodeType(kind)
    except ValueError as error:
        raise IntegrityError(f"inode {number} has the unknown type {kind}") from error
    return Inode(
        number=number,
        type=inode_type,
        mode=mode & PERMISSIONS,
        size=size,
        links=links,
        entries=entries,
        file_id=file_id,
        mac=mac,
    )


def pack_superblock(groups: int, used: int) -> bytes:
    """Return the superblock of ``groups`` groups in which ``used`` blocks are in use."""
    blocks = groups * GROUP_BLOCKS
    return SUPERBLOCK.pack(MAGIC, blocks, blocks - used, groups)


def pack_free_map(group: int, last: int) -> bytes:
    """Return the free map of a group: a set bit is a free block. All blocks up to ``last`` are in use."""
    used = min(max(last + 1 - group * GROUP_BLOCKS, 0), GROUP_BLOCKS)
    taken = (1 << used) - 1 | 1 << FREE_MAP
    return ((1 << GROUP_BLOCKS) - 1 & ~taken).to_bytes(BLOCK_SIZE, "little")
