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
    """Writes protected files one after the other; its buffer, of one group, is all the memory it needs.

    (Tree nodes with children are kept until the end of their file: 4096 bytes for 12.5 MB of content.)
    """

    def __init__(self, protection: Protection) -> None:
        self._protection = protection
        self._buffer = memoryview(bytearray(GROUP_SIZE))

    def write(self, output: BinaryIO, name: bytes, content: Readable, size: int) -> bytes:
        """Write the protected file of ``size`` bytes; return its MAC.

        ``name`` is what the file must be called when it is opened. Raises ContentChangedError if
        the content is of another size.
        """
        inline = bytearray(min(size, INLINE_SIZE))
        _fill(content, memoryview(inline))
        output.seek(NODE_SIZE)
        root = self._write_groups(output, content, size - len(inline), tree_nodes(size))
        if content.readinto(memoryview(bytearray(1))):
            raise ContentChangedError("grew while it was read")
        node, mac = self._protection.seal_metadata(BODY.pack(name, size, root, bytes(inline)))
        output.seek(0)
        output.write(node)
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
            data, length = self._read_group(content, min(size, GROUP_DATA))
            size -= length
            node = self._buffer[:NODE_SIZE]
            entries = self._protection.seal_nodes(data)
            node[: len(entries)] = entries
            node[len(entries) :] = bytes(NODE_SIZE - len(entries))
            if has_children(index, count):
                waiting[index] = bytearray(node)
            else:
                root = hand_up(index, self._protection.seal_nodes(node))
            output.write(self._buffer[: NODE_SIZE + len(data)])
        for index in reversed(waiting):
            node = memoryview(waiting[index])
            root = hand_up(index, self._protection.seal_nodes(node))
            output.seek(group_offset(index))
            output.write(node)
        return root

    def _read_group(self, content: Readable, length: int) -> tuple[memoryview, int]:
        """Read the content of one group; return its data nodes, the last one filled up with zeros."""
        end = -(-length // NODE_SIZE) * NODE_SIZE
        data = self._buffer[NODE_SIZE : NODE_SIZE + end]
        _fill(content, data[:length])
        data[length:] = bytes(end - length)
        return data, length


def _fill(content: Readable, buffer: memoryview) -> None:
    while buffer:
        count = content.readinto(buffer)
        if not count:
            raise ContentChangedError("became shorter while it was read")
        buffer = buffer[count:]
