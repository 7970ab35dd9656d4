"""The tree that becomes an image, as nodes that know how to open their content; a folder is read into one."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, IncompatibleImageError, UsageError
from enclavize.libos.occlum.sefs.structures import (
    LINKS_MAX,
    NAME_MAX,
    PATH_MAX,
    PERMISSIONS,
    ROOT_MODE,
    InodeType,
)
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enclavize.libos.occlum.sefs.writer import Readable

_SPECIAL = {
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


def _no_content() -> Readable:
    return io.BytesIO()


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeNode:
    """A file (``size``, ``open``), a directory (``children``) or a symbolic link (``target``, its ``size``).

    ``open`` may raise OSError. ``same_as`` is the path, without the first slash, of another file of
    the tree with the same content: it is read instead of this one.
    """

    name: bytes
    type: InodeType
    mode: int
    size: int = 0
    open: Callable[[], Readable] = _no_content
    target: bytes = b""
    children: list[TreeNode] = field(default_factory=list)
    same_as: bytes | None = None


def symlink(name: bytes, target: bytes) -> TreeNode:
    """Return a symbolic link, which always has all permissions."""
    return TreeNode(name=name, type=InodeType.SYMLINK, mode=PERMISSIONS, size=len(target), target=target)


def root_node() -> TreeNode:
    """Return an empty root directory."""
    return TreeNode(name=b"", type=InodeType.DIRECTORY, mode=ROOT_MODE)


def scan(folder: Path, *, skip: Callable[[str], None] | None = None) -> TreeNode:
    """Return the tree of a folder. Links are kept, owners, times and extended attributes are not.

    ``skip`` hears of devices, FIFOs and sockets that are left out; without it they are refused. Raises
    EnclavizeError.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    root = root_node()
    waiting = [(os.fsencode(folder), root)]
    with storage_errors("read", folder):
        while waiting:
            path, directory = waiting.pop()
            with os.scandir(path) as entries:
                for entry in entries:
                    node = _node(entry, skip)
                    if node is None:
                        continue
                    directory.children.append(node)
                    if node.type is InodeType.DIRECTORY:
                        waiting.append((entry.path, node))
    return root


def _node(entry: os.DirEntry[bytes], skip: Callable[[str], None] | None) -> TreeNode | None:
    status = entry.stat(follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFREG:
            opener = partial(_open, entry.path)
            return TreeNode(name=entry.name, type=InodeType.FILE, mode=mode, size=status.st_size, open=opener)
        case stat.S_IFDIR:
            return TreeNode(name=entry.name, type=InodeType.DIRECTORY, mode=mode)
        case stat.S_IFLNK:
            return symlink(entry.name, os.readlink(entry.path))  # noqa: PTH115 - of bytes
        case kind:
            what = f"{show(entry.path)} is {_SPECIAL.get(kind, 'no file')}, which an Occlum image cannot hold"
            if skip is None:
                raise IncompatibleImageError(
                    what, hint="remove it; sefs pack can leave such files out (--skip-special)"
                )
            skip(what)
            return None


def _open(path: bytes) -> Readable:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0)


def show(path: bytes) -> str:
    """Return a path for messages: what is not UTF-8, or does not print, is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else repr(text)[1:-1]


def walk(root: TreeNode) -> Iterator[tuple[bytes, TreeNode]]:
    """Yield all nodes below ``root`` with their absolute paths, in the order of inodes: depth first, sorted.

    Sorts the children of each directory in place. Raises IncompatibleImageError for what SEFS cannot hold.
    """
    waiting = [(b"", root)]
    while waiting:
        path, node = waiting.pop()
        if node is not root:
            yield path, node
        _check_children(path, node)
        node.children.sort(key=lambda child: child.name, reverse=True)
        waiting.extend((path + b"/" + child.name, child) for child in node.children)
        node.children.reverse()


def _check_children(folder: bytes, node: TreeNode) -> None:
    """Refuse what the image cannot hold, before any of it is written."""
    names = set()
    for child in node.children:
        path = folder + b"/" + child.name
        for problem in _problems(path, child):
            raise IncompatibleImageError(f"{show(path)}: {problem}, which an Occlum image cannot hold")
        if child.name in names:
            raise EnclavizeError(f"{show(path)} is there twice")
        names.add(child.name)
    folders = sum(child.type is InodeType.DIRECTORY for child in node.children)
    if folders > LINKS_MAX - 2:
        raise IncompatibleImageError(
            f"{show(folder) or '/'} has {folders} folders in it: Occlum images hold at most {LINKS_MAX - 2}"
        )


def _problems(path: bytes, node: TreeNode) -> Iterator[str]:
    if not is_name(node.name):
        yield "this is no name of a file"
    if not is_utf8(node.name):
        yield "the name is not UTF-8"
    if len(node.name) > NAME_MAX:
        yield f"the name has more than {NAME_MAX} bytes"
    if len(path) > PATH_MAX:
        yield f"the path has more than {PATH_MAX} bytes"
    if node.type is InodeType.SYMLINK:
        if not is_utf8(node.target):
            yield "the target of the link is not UTF-8"
        if not node.target or b"\0" in node.target:
            yield "the link has no target"
        if len(node.target) > PATH_MAX:
            yield f"the target of the link has more than {PATH_MAX} bytes"


def is_name(name: bytes) -> bool:
    """Tell whether a name can stand in a directory."""
    return name not in {b"", b".", b".."} and b"/" not in name and b"\0" not in name


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
