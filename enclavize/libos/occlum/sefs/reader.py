"""Read protected files that anybody may have made: everything is checked before it is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError
from enclavize.libos.occlum.sefs.node import (
    BODY,
    ENTRY_SIZE,
    GROUP_DATA,
    GROUP_SIZE,
    NAME_SIZE,
    NODE_SIZE,
    child_entry,
    has_children,
    parent,
    protected_size,
    tree_nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

    from enclavize.libos.occlum.sefs.protection import Protection


class ProtectedFile:
    """A protected file that is open; its node 0 is checked. ``size`` is that of the content."""

    def __init__(self, stream: FileIO, name: bytes, protection: Protection) -> None:
        """Check the first node. Raises IntegrityError; ``name`` is what the file is called."""
        self._stream = stream
        self._protection = protection
        physical = os.fstat(stream.fileno()).st_size
        node = bytearray(NODE_SIZE)
        self._read(memoryview(node))
        body, self.mac = protection.open_metadata(bytes(node))
        stored, self.size, self._root, self._inline = BODY.unpack(body)
        if stored != name.ljust(NAME_SIZE, b"\0"):
            raise IntegrityError("the file was made under another name")
        if self.size < 0 or protected_size(self.size) != physical:
            raise IntegrityError(f"a content of {self.size} bytes does not have {physical} bytes of nodes")

    def pieces(self) -> Iterator[memoryview]:
        """Yield the content, each piece checked. It is overwritten by the next one. Raises IntegrityError."""
        yield memoryview(self._inline)[: self.size]
        count = tree_nodes(self.size)
        rest = self.size - len(self._inline)
        inner: dict[int, bytes] = {}
        buffer = bytearray(GROUP_SIZE)
        for index in range(count):
            length = min(rest, GROUP_DATA)
            rest -= length
            nodes = -(-length // NODE_SIZE)
            group = memoryview(buffer)[: NODE_SIZE * (1 + nodes)]
            self._read(group)
            node, data = group[:NODE_SIZE], group[NODE_SIZE:]
            entry = inner[parent(index)][child_entry(index)] if index else self._root
            self._protection.open_nodes(node, entry)
            if has_children(index, count):
                inner[index] = bytes(node)
            self._protection.open_nodes(data, bytes(node[: nodes * ENTRY_SIZE]))
            yield data[:length]

    def content(self) -> bytes:
        """Return the whole content; for callers that have looked at ``size``."""
        return b"".join(map(bytes, self.pieces()))

    def _read(self, buffer: memoryview) -> None:
        while buffer:
            count = self._stream.readinto(buffer)
            if not count:
                raise IntegrityError("the file ends too early")
            buffer = buffer[count:]
