"""Write protected files in one pass over their content."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from enclavize.errors import EnclavizeError
from enclavize.libos.occlum.sefs.node import (
    BODY,
    ENTRY_SIZE,
    GROUP_DATA,
    GROUP_SIZE,
    INLINE_SIZE,
    NODE_SIZE,
    child_entry,
    group_offset,
    has_children,
    parent,
    tree_nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from enclavize.libos.occlum.sefs.protection import Protection


class Readable(Protocol):
    """What a content is read from."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read into a buffer; return how many bytes, 0 at the end."""

    def __enter__(self) -> Self:
        """Begin a block at whose end it is closed."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close it."""


class PieceReader:
    """Gives pieces of a content as one; a piece is used up before the next one is asked for."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """Read into a buffer; return how many bytes, 0 at the end."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class ContentChangedError(EnclavizeError):
    """A content is not of the size that was promised: its file changed while it was read."""


class ProtectedFileWriter:
    """Writes protected files one after the other; its buffer, of node 0 and a group, is all that it needs.

    (Tree nodes with children are kept until the end of their file: 4096 bytes for 12.5 MB of content.)
    """

    def __init__(self, protection: Protection) -> None:
        self._protection = protection
        self._buffer = memoryview(bytearray(NODE_SIZE + GROUP_SIZE))
        self._group = self._buffer[NODE_SIZE:]

    def write(self, output: BinaryIO, name: bytes, content: Readable, size: int) -> bytes:
        """Write the protected file of ``size`` bytes into a new file; return its MAC.

        ``name`` is what the file must be called when it is opened. Raises ContentChangedError if
        the content is of another size.
        """
        inline = bytearray(min(size, INLINE_SIZE))
        _fill(content, memoryview(inline))
        rest, count = size - len(inline), tree_nodes(size)
        root, written = bytes(ENTRY_SIZE), NODE_SIZE
        if count == 1:  # most files: written by one call
            sealed = self._seal_group(content, rest)
            root, written = self._protection.seal_nodes(sealed[:NODE_SIZE]), NODE_SIZE + len(sealed)
        elif count:
            output.seek(NODE_SIZE)
            root = self._write_groups(output, content, rest, count)
        if content.readinto(memoryview(bytearray(1))):
            raise ContentChangedError("grew while it was read")
        self._buffer[:NODE_SIZE], mac = self._protection.seal_metadata(
            BODY.pack(name, size, root, bytes(inline))
        )
        output.seek(0)
        _write_all(output, self._buffer[:written])
        return mac

    def _write_groups(self, output: BinaryIO, content: Readable, size: int, count: int) -> bytes:
        """Write all nodes but the first; return the entry of the root."""
        waiting: dict[int, bytearray] = {}
        root = bytes(ENTRY_SIZE)

        def hand_up(index: int, entry: bytes) -> bytes:
            if index:
                waiting[parent(index)][child_entry(index)] = entry
            return entry

        for index in range(count):
            length = min(size, GROUP_DATA)
            size -= length
            sealed = self._seal_group(content, length)
            node = sealed[:NODE_SIZE]
            if has_children(index, count):
                waiting[index] = bytearray(node)
            else:
                root = hand_up(index, self._protection.seal_nodes(node))
            _write_all(output, sealed)
        for index in reversed(waiting):
            node = memoryview(waiting[index])
            root = hand_up(index, self._protection.seal_nodes(node))
            output.seek(group_offset(index))
            _write_all(output, node)
        return root

    def _seal_group(self, content: Readable, length: int) -> memoryview:
        """Read the content of one group; return its tree node, open yet, and its protected data nodes.

        The last of these is filled up with zeros.
        """
        end = NODE_SIZE + -(-length // NODE_SIZE) * NODE_SIZE
        data = self._group[NODE_SIZE:end]
        _fill(content, data[:length])
        data[length:] = bytes(len(data) - length)
        entries = self._protection.seal_nodes(data)
        self._group[:NODE_SIZE] = entries.ljust(NODE_SIZE, b"\0")
        return self._group[:end]


def _fill(content: Readable, buffer: memoryview) -> None:
    while buffer:
        count = content.readinto(buffer)
        if not count:
            raise ContentChangedError("became shorter while it was read")
        buffer = buffer[count:]


def _write_all(output: BinaryIO, data: memoryview) -> None:
    """Write all, to a file without a buffer too: that takes what fits on the disk at first."""
    while data:
        data = data[output.write(data) :]
