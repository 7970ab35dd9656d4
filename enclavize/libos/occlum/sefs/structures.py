"""The records of SEFS: superblock, inodes, directory entries, and the map of free blocks.

Source: rcore-fs-sefs/src/structs.rs and lib.rs of occlum/sefs; docs/sefs.md. The file ``metadata`` consists
of blocks of 128 bytes in groups of 1024: block 0 is the superblock, block 1 of each group its free map, block
n inode n. Inodes and entries have changed between releases of Occlum, all else has not.
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

_TYPED = struct.Struct("<I256sI")
"""inode, name, type"""
_UNTYPED = struct.Struct("<I256s")


@dataclass(frozen=True, kw_only=True)
class Records:
    """The records of some releases. ``times`` are the bytes of an inode's times, with padding.

    An inode is: size, type, mode, links, directory entries, uid, gid, times, id of the file, MAC of the file.
    """

    times: int
    entry: struct.Struct

    @property
    def inode(self) -> struct.Struct:
        """The record of an inode."""
        return struct.Struct(f"<QIHHIII{self.times}s16s16s")

    def pack_entry(self, number: int, name: bytes, kind: InodeType) -> bytes:
        """Return the record of a directory's entry."""
        return self.entry.pack(number, name, *((kind,) if self.entry is _TYPED else ()))

    def entries(self, content: bytes) -> list[tuple[int, bytes, int | None]]:
        """Return inode, name field and type of all entries; in old releases they have no type."""
        return [
            (number, name, kind[0] if kind else None)
            for number, name, *kind in self.entry.iter_unpack(content)
        ]


WIDE = Records(times=52, entry=_TYPED)
"""Since 0.26.4: six times of 64 bits, behind four bytes of padding."""
NARROW = Records(times=12, entry=_TYPED)
"""0.23.0 to 0.26.3: three times of 32 bits."""
UNTYPED = Records(times=12, entry=_UNTYPED)
"""0.21.0 and 0.22.0."""

SMALLEST_INODE = UNTYPED.inode.size


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


def pack_inode(inode: Inode, records: Records) -> bytes:
    """Return the record of an inode."""
    return records.inode.pack(
        inode.size,
        inode.type,
        inode.mode,
        inode.links,
        inode.entries,
        0,
        0,
        b"",
        inode.file_id,
        inode.mac,
    )


def parse_inode(number: int, block: bytes, records: Records) -> Inode:
    """Read the record of an inode. Raises IntegrityError."""
    size, kind, mode, links, entries, _uid, _gid, _times, file_id, mac = records.inode.unpack_from(block)
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
