"""fs-verity: SHA-256, blocks of 4096 bytes, no salt.

Source: Linux, Documentation/filesystems/fsverity.rst ("Merkle tree", "fs-verity descriptor"). A stored
tree is its levels, top first, without the zeros that fill up the last block of a level; docs/rootfs.md
says why.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING

from enclavize.rootfs.accelerator import native_hash_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_SIZE = 4096
HASH_SIZE = 32
HASHES_PER_BLOCK = BLOCK_SIZE // HASH_SIZE

NATIVE_SIZE = 64 << 10
"""From this many bytes on, the cost of calling native code does not count."""

_ZEROS = bytes(BLOCK_SIZE)
_DESCRIPTOR = struct.Struct("<BBBBIQ32s208x")
"""struct fsverity_descriptor: version, algorithm, log2 of the block size, salt size, signature size, ..."""


def hash_blocks(data: bytes | memoryview) -> bytes:
    """Return the SHA-256 of every 4096-byte block, one after the other; the last one is padded with zeros."""
    if len(data) >= NATIVE_SIZE and (native := native_hash_blocks()) is not None:
        return native(data)
    whole = len(data) - len(data) % BLOCK_SIZE
    digests = [sha256(data[at : at + BLOCK_SIZE]).digest() for at in range(0, whole, BLOCK_SIZE)]
    if whole < len(data):
        last = sha256(data[whole:])
        last.update(_ZEROS[: BLOCK_SIZE - len(data) + whole])
        digests.append(last.digest())
    return b"".join(digests)


def descriptor_digest(size: int, root_hash: bytes) -> bytes:
    """Return the fs-verity digest of a file from its size and the hash of its top block."""
    return sha256(_DESCRIPTOR.pack(1, 1, 12, 0, 0, size, root_hash)).digest()


def level_sizes(size: int) -> tuple[int, ...]:
    """Return the bytes of each level of the tree of a file of ``size`` bytes, top level first."""
    sizes = []
    count = -(-size // BLOCK_SIZE)
    while count > 1:
        sizes.append(count * HASH_SIZE)
        count = -(-count // HASHES_PER_BLOCK)
    return tuple(reversed(sizes))


def tree_size(size: int) -> int:
    """Return the bytes of the stored tree of a file of ``size`` bytes."""
    return sum(level_sizes(size))


def levels_above(level: bytes) -> tuple[list[bytes], bytes]:
    """Return the levels above a level, top first, and the root hash."""
    above: list[bytes] = []
    while len(level) > BLOCK_SIZE:
        level = hash_blocks(level)
        above.insert(0, level)
    return above, hash_blocks(level)


def verity_of(data: bytes | memoryview) -> tuple[bytes, bytes]:
    """Return the fs-verity digest and the stored tree of content that is in memory."""
    if not data:
        return descriptor_digest(0, bytes(HASH_SIZE)), b""
    level = hash_blocks(data)
    if len(level) == HASH_SIZE:
        return descriptor_digest(len(data), level), b""
    above, root_hash = levels_above(level)
    return descriptor_digest(len(data), root_hash), b"".join((*above, level))


class VerityStream:
    """Digest and tree of content that comes in pieces; memory does not grow with the content.

    ``write(offset, hashes)`` receives parts of the tree, each at its offset from the start of the tree.
    The size has to be known before, since level 0 stands last in the tree.
    """

    def __init__(self, size: int, write: Callable[[int, bytes], object]) -> None:
        self._size = size
        self._write = write
        sizes = level_sizes(size)
        self._offset = sum(sizes[:-1])
        self._rest = b""
        self._hashes = b""
        self._level1 = bytearray()

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next piece of content."""
        if self._rest:
            missing = BLOCK_SIZE - len(self._rest)
            self._rest += piece[:missing]
            piece = piece[missing:]
            if len(self._rest) < BLOCK_SIZE:
                return
            self._add(hash_blocks(self._rest))
        whole = len(piece) - len(piece) % BLOCK_SIZE
        self._rest = bytes(piece[whole:])
        if whole:
            self._add(hash_blocks(piece[:whole]))

    def finish(self) -> bytes:
        """Return the fs-verity digest, after all content."""
        if self._rest:
            self._add(hash_blocks(self._rest))
        match -(-self._size // BLOCK_SIZE):
            case 0:
                root_hash = bytes(HASH_SIZE)
            case 1:
                root_hash = self._hashes
            case count if count <= HASHES_PER_BLOCK:
                root_hash = hash_blocks(self._hashes)
            case _:
                if self._hashes:
                    self._level1 += hash_blocks(self._hashes)
                above, root_hash = levels_above(bytes(self._level1))
                self._write(0, b"".join((*above, self._level1)))
        return descriptor_digest(self._size, root_hash)

    def _add(self, hashes: bytes) -> None:
        """Store hashes of level 0; those of whole blocks of level 0 go up to level 1."""
        if self._size > BLOCK_SIZE:
            self._write(self._offset, hashes)
        self._offset += len(hashes)
        self._hashes += hashes
        whole = len(self._hashes) - len(self._hashes) % BLOCK_SIZE
        if whole and self._size > BLOCK_SIZE * HASHES_PER_BLOCK:
            self._level1 += hash_blocks(self._hashes[:whole])
            self._hashes = self._hashes[whole:]
