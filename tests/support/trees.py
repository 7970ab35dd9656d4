"""Trees of files in the same words, whether an engine unpacked them or this project read them from layers."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from enclavize.rootfs.entry import STAT_TYPE, FileType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.rootfs.tree import Rootfs

IMPLIED = -1
"""The time of a directory that no layer lists: each engine gives another one."""


class Node(NamedTuple):
    """One path. ``mode`` has the type; hard links have the ``first`` of their paths in common."""

    mode: str
    uid: int
    gid: int
    mtime: int
    size: int
    link: str
    sha256: str
    rdev: tuple[int, int]
    first: str
    xattrs: Mapping[str, bytes]

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(int(self.mode, 8))


Tree = dict[str, Node]
"""Nodes by path without leading slash; the root is ""."""


def tree_on_disk(root: Path) -> Tree:
    """Describe every path below ``root``."""
    found: Tree = {}
    first: dict[int, str] = {}
    for path in sorted([root, *root.rglob("*")], key=os.fsencode):
        status = path.lstat()
        name = "" if path == root else str(path.relative_to(root))
        regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
        device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
        names = [] if link else os.listxattr(path)
        found[name] = Node(
            mode=oct(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime=int(status.st_mtime_ns // 10**9),
            size=status.st_size if regular else 0,
            link=str(path.readlink()) if link else "",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest() if regular else "",
            rdev=(os.major(status.st_rdev), os.minor(status.st_rdev)) if device else (0, 0),
            first="" if stat.S_ISDIR(status.st_mode) else first.setdefault(status.st_ino, name),
            xattrs={key: os.getxattr(path, key) for key in names},
        )
    return found


def tree_of(rootfs: Rootfs) -> Tree:
    """Describe the merged tree of an image."""
    return {
        entry.path: Node(
            mode=oct(STAT_TYPE[entry.type] | entry.mode),
            uid=entry.uid,
            gid=entry.gid,
            mtime=IMPLIED if entry.layer < 0 else entry.mtime,
            size=entry.size if entry.type is FileType.REGULAR else 0,
            link=entry.link_target,
            sha256=entry.sha256.hex(),
            rdev=entry.rdev,
            first="" if entry.type is FileType.DIRECTORY else entry.data_path,
            xattrs=dict(entry.xattrs),
        )
        for entry in rootfs.entries
    }
