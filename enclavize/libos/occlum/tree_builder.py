"""A tree that is changed before it is packed: files are put where the links of the tree lead."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IncompatibleImageError
from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.libos.occlum.sefs.tree import TreeNode, root_node, show, symlink
from enclavize.libos.occlum.sefs.writer import PieceReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from enclavize.libos.occlum.sefs.writer import Readable
    from enclavize.libos.toolchain import ToolchainFile

DIRECTORY_MODE = 0o755
_MAX_LINKS = 40
_PIECE = 1 << 20


class TreeBuilder:
    """Nodes by path; every node but the root has its directory among them. Their ``children`` stay empty."""

    def __init__(self, nodes: Mapping[bytes, TreeNode] | None = None) -> None:
        self._nodes = {b"": root_node(), **(nodes or {})}

    def __len__(self) -> int:
        """Return how many nodes there are, with the root."""
        return len(self._nodes)

    def get(self, path: bytes) -> TreeNode | None:
        """Return the node of a path, following no link."""
        return self._nodes.get(path)

    def directory(self, path: bytes) -> bytes:
        """Make a directory and those above it unless they are there; return where it is, links followed.

        Raises IncompatibleImageError where something else stands in the way.
        """
        where = self._follow(path, make=True)
        assert where is not None
        return where

    def find_directory(self, path: bytes) -> bytes | None:
        """Return where a directory is, links followed; None if there is none."""
        try:
            return self._follow(path, make=False)
        except IncompatibleImageError:
            return None

    def _follow(self, path: bytes, *, make: bool) -> bytes | None:
        where = b""
        pending = path.split(b"/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in {b"", b"."}:
                continue
            if name == b"..":
                where = where.rpartition(b"/")[0]
                continue
            inner = where + b"/" + name if where else name
            node = self._nodes.get(inner)
            if node is None:
                if not make:
                    return None
                self._nodes[inner] = TreeNode(name=name, type=InodeType.DIRECTORY, mode=DIRECTORY_MODE)
            elif node.type is InodeType.SYMLINK:
                links += 1
                if links > _MAX_LINKS:
                    raise IncompatibleImageError(f"/{show(path)}: too many symbolic links")
                where = b"" if node.target.startswith(b"/") else where
                pending.extend(node.target.split(b"/")[::-1])
                continue
            elif node.type is not InodeType.DIRECTORY:
                raise IncompatibleImageError(
                    f"/{show(inner)} of the image is a file; Occlum needs a directory there"
                )
            where = inner
        return where

    def put(self, path: bytes, node: TreeNode) -> bytes:
        """Put a file or link at a path in place of what is there; return where that is, links followed."""
        folder, _, name = path.rpartition(b"/")
        where = self.directory(folder)
        full = where + b"/" + name if where else name
        old = self._nodes.get(full)
        if old is not None and old.type is InodeType.DIRECTORY:
            raise IncompatibleImageError(
                f"/{show(full)} of the image is a directory; Occlum needs a file there"
            )
        self._nodes[full] = replace(node, name=name)
        return full

    def remove(self, path: bytes) -> None:
        """Remove a file, if it is there."""
        self._nodes.pop(path, None)

    def root(self) -> TreeNode:
        """Return the tree."""
        made = {path: replace(node, children=[]) for path, node in self._nodes.items()}
        for path, node in made.items():
            if path:
                made[path.rpartition(b"/")[0]].children.append(node)
        return made[b""]


def data_file(data: bytes, mode: int = 0o644) -> TreeNode:
    """Return a file with this content; ``put`` gives it its name."""
    return TreeNode(name=b"", type=InodeType.FILE, mode=mode, size=len(data), open=lambda: io.BytesIO(data))


def toolchain_file(file: ToolchainFile) -> TreeNode:
    """Return a file of the toolchain, with its mode."""
    return TreeNode(
        name=b"", type=InodeType.FILE, mode=file.mode, size=file.size, open=lambda: _reader(file.open)
    )


def link(target: bytes) -> TreeNode:
    """Return a symbolic link; ``put`` gives it its name."""
    return symlink(b"", target)


def _reader(open_file: Callable[[], BinaryIO]) -> Readable:
    def pieces() -> Iterator[bytes]:
        with open_file() as stream:
            while piece := stream.read(_PIECE):
                yield piece

    return PieceReader(pieces())
