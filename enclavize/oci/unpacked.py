"""Unpacked images in the cache, and the lock that keeps one from being removed (pruning.py)."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from enclavize.folders import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.oci.cache import BlobCache

UNPACKED = "unpacked"
LOCK_SUFFIX = ".lock"


def unpacked_folder(cache: BlobCache | None = None) -> Path:
    """Return the folder of unpacked images: of this cache, or else of the user's own."""
    return (cache.root.parent if cache else user_cache()) / UNPACKED


def lock_of(tree: Path) -> Path:
    """Return the file whose lock an unpacked image's users hold."""
    return tree.with_name(f"{tree.name}{LOCK_SUFFIX}")


@contextmanager
def in_use(tree: Path) -> Iterator[bool]:
    """Keep an unpacked image from being removed; gives whether it is still there."""
    with lock_of(tree).open("ab") as lock:  # made if need be, not emptied
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(lock.fileno())
        yield tree.is_dir()
