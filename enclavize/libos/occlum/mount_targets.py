"""Where file systems are mounted inside of the LibOS: Occlum makes no folder, and does not start without one.

Source: src/libos/src/fs/rootfs.rs of occlum/occlum (``mount_fs_at``): in the order of the configuration, with
links followed, behind /proc and /dev from 0.29.6 on.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.libos.occlum.versions import Change
from enclavize.rootfs.names import path_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enclavize.libos.occlum.configuration import Configuration
    from enclavize.libos.occlum.tree_builder import TreeBuilder

_EMPTY_AT_FIRST = frozenset({"ramfs"})
"""Types of file systems in which nothing can be mounted when the LibOS starts."""

_FORMATTER = b"sbin/mke2fs"
"""Which the LibOS runs at the first mount of an ext2."""


def order_problems(mounts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield mounts that would hide others, or are in a file system that is empty when they are mounted."""
    targets = [posixpath.normpath(mount["target"]) for mount in mounts]
    for index, (mount, target) in enumerate(zip(mounts, targets, strict=True)):
        for before in range(index):
            if target == targets[before]:
                yield f"mount[{index}]: a second file system is mounted at {mount['target']}"
            elif target != "/" and targets[before].startswith(f"{target}/"):
                yield f"mount[{index}] at {target} hides mount[{before}] at {targets[before]}"
            elif target.startswith(f"{targets[before]}/") and mounts[before]["type"] in _EMPTY_AT_FIRST:
                yield (
                    f"mount[{index}] at {target} is inside mount[{before}] at {targets[before]}, a ramfs, "
                    "which has no folders when it is mounted"
                )


def target_problems(tree: TreeBuilder, configuration: Configuration) -> Iterator[str]:
    """Yield what the root file system lacks for the mounts of a configuration that was checked."""
    mounts = configuration.document["mount"]
    targets = [mount["target"] for mount in mounts]
    if configuration.release.has(Change.ONE_CONFIGURATION):
        targets = ["/proc", "/dev", *targets]
    for target in dict.fromkeys(map(posixpath.normpath, targets)):
        inside = any(
            target.startswith(f"{posixpath.normpath(other)}/") for other in targets if other.strip("/")
        )
        if not inside and tree.find_directory(path_bytes(target).strip(b"/")) is None:
            yield f"a file system is to be mounted at {target}, which is no folder of the root file system"
    if any(mount["type"] == "ext2" for mount in mounts) and not _is_file(tree, _FORMATTER):
        yield f"an ext2 needs /{_FORMATTER.decode()} in the root file system, with which Occlum makes it"


def _is_file(tree: TreeBuilder, path: bytes) -> bool:
    folder, _, name = path.rpartition(b"/")
    where = tree.find_directory(folder)
    node = None if where is None else tree.get(where + b"/" + name if where else name)
    return node is not None and node.type is not InodeType.DIRECTORY
