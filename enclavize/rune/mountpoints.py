"""Mountpoints that runc makes in a tree which runs share: they go when nobody needs them any more.

    <cache>/unpacked/<hex>.mountpoints    paths below the tree, each ended by NUL

runc makes a file or folder for each mount whose destination is not there. In a tree of one's own that would
not matter; in a shared one, later runs would find an empty file where the image has none, and one that is
removed while it is mounted would take the mount from its container. So runs with mounts hold a shared lock
on the list, and the last one of them, or the next run if that was killed, removes what it names.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from enclavize.lock import try_lock
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_SUFFIX = ".mountpoints"


@contextmanager
def mountpoints(tree: Path, destinations: Sequence[str]) -> Iterator[None]:
    """Let the tree have these mountpoints as long as the block runs. Raises EnclavizeError."""
    remove_left_over(tree)
    if not destinations:
        yield
        return
    path = _list_of(tree)
    with storage_errors("write", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        # Those of another run are there already, and in its list.
        names = missing(tree, destinations)
        with storage_errors("write", path):
            os.write(descriptor, b"".join(os.fsencode(name) + b"\0" for name in names))
        yield
    finally:
        if try_lock(descriptor):
            _remove_all(tree, descriptor)
        os.close(descriptor)


def missing(tree: Path, destinations: Iterable[str]) -> list[str]:
    """Return the paths below ``tree`` that runc would make: those of mounts, and of the folders above."""
    from enclavize.rune.mounts import resolve_in_root

    found: dict[str, None] = {}
    for destination in destinations:
        where = resolve_in_root(tree, destination).relative_to("/")
        for path in (*reversed(where.parents), where):
            if path != PurePosixPath() and not os.path.lexists(tree / path):
                found[str(path)] = None
    return list(found)


def remove_left_over(tree: Path) -> None:
    """Remove what runs that were killed have left, unless others are on their way."""
    with suppress(FileNotFoundError):
        descriptor = os.open(_list_of(tree), os.O_RDWR | os.O_CLOEXEC)
        try:
            if try_lock(descriptor):
                _remove_all(tree, descriptor)
        finally:
            os.close(descriptor)


def _list_of(tree: Path) -> Path:
    return tree.with_name(f"{tree.name}{_SUFFIX}")


def _remove_all(tree: Path, descriptor: int) -> None:
    """Remove what the locked list names, the lowest first; what is not empty is not a mere mountpoint."""
    size = os.fstat(descriptor).st_size
    names = set(filter(None, os.pread(descriptor, size, 0).split(b"\0")))
    for name in sorted(names, reverse=True):
        path = tree / os.fsdecode(name)
        with suppress(OSError):
            if path.is_dir():
                path.rmdir()
            elif path.stat().st_size == 0:
                path.unlink()
    os.ftruncate(descriptor, 0)
