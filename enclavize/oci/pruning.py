"""What the cache folder holds, and removing the least recently used of it.

    <cache>/blobs/sha256/<hex>          blobs                       used: modification time
    <cache>/blobs/index/<hex>-<n>       indexes of layers           used: modification time
    <cache>/blobs/results/<key>.json    results of builds           used: modification time
    <cache>/blobs/layers/<hex>          uncompressed layers         used: modification time
    <cache>/unpacked/<hex>/             images that run unpacks     used: modification time of <hex>.lock
    <cache>/unpacked/.known/            links to these; they go with them (known_image.py)

A command uses what it touched since it began: as long as one runs (``oci/cache.py``), nothing that was used
later than the oldest of them began is removed. ``run`` holds a shared lock on ``<hex>.lock``, whose text is
the size of the image in bytes, as long as the container lives. Unpacked images have hard links to their
layers; as long as one has, a layer stays, since to remove it would free nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.lock import try_lock
from enclavize.oci.cache import USERS, locked_folder
from enclavize.oci.digest import HEX_LENGTHS
from enclavize.oci.known_image import forget_images
from enclavize.oci.unpacked import LOCK_SUFFIX, lock_of, unpacked_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from enclavize.oci.cache import BlobCache

DEFAULT_MAX_SIZE = 10 << 30

INDEXES = "index"
RESULTS = "results"
LAYERS = "layers"

_CLOCK_STEP = 1.0
"""Seconds: files' times come from a clock that ticks more slowly than others."""

_REMOVED = ".removed-"


class ItemKind(StrEnum):
    """What the cache keeps."""

    BLOB = "blob"
    INDEX = "index"
    RESULT = "result"
    LAYER = "uncompressed layer"
    UNPACKED = "unpacked image"


@dataclass(frozen=True, kw_only=True)
class CachedItem:
    """One thing in the cache: ``size`` in bytes, ``last_used`` in seconds since the epoch."""

    kind: ItemKind
    path: Path
    size: int
    last_used: float
    in_use: bool = False


def cached_items(cache: BlobCache) -> list[CachedItem]:
    """Return what is in the cache, the least recently used first, and layers after the images that have them.

    Nothing is locked meanwhile.
    """
    since = _oldest_user(cache.root / USERS)
    folders = (
        *((ItemKind.BLOB, cache.root / algorithm) for algorithm in HEX_LENGTHS),
        (ItemKind.INDEX, cache.root / INDEXES),
        (ItemKind.RESULT, cache.root / RESULTS),
        (ItemKind.LAYER, cache.root / LAYERS),
    )
    files = [item for kind, folder in folders for item in _files(kind, folder)]
    items = [replace(item, in_use=item.last_used >= since) for item in files]
    images = _unpacked(unpacked_folder(cache))
    return sorted([*items, *images], key=lambda item: (item.kind is ItemKind.LAYER, item.last_used))


def prune(
    cache: BlobCache, *, max_size: int = 0, unused_for: float = 0.0
) -> tuple[list[CachedItem], list[CachedItem]]:
    """Remove the least recently used items until ``max_size`` bytes are left; return those gone and left.

    Only what nobody has used for ``unused_for`` seconds goes, and nothing that is in use. A blob that is read
    stays readable until its reader closes it. Two that prune at once remove no more than one would.
    """
    cache.remove_abandoned()
    removed: list[CachedItem] = []
    left: list[CachedItem] = []
    if not cache.root.parent.is_dir():
        return removed, left
    cache.root.mkdir(exist_ok=True, mode=0o700)
    with locked_folder(cache.root, fcntl.LOCK_EX):
        items = cached_items(cache)
        total = sum(item.size for item in items)
        newest = time.time() - unused_for
        for item in items:
            if total > max_size and not item.in_use and item.last_used <= newest and _remove(item):
                removed.append(item)
                total -= item.size
            else:
                left.append(item)
        forget_images(unpacked_folder(cache))
    return removed, left


def _files(kind: ItemKind, folder: Path) -> Iterator[CachedItem]:
    for entry in _entries(folder):
        # Locks are empty, and who waits for one has it open; temporary files are their writers'.
        if entry.name.startswith(".") or entry.name.endswith(LOCK_SUFFIX):
            continue
        with suppress(FileNotFoundError):  # another one was quicker
            status = entry.stat(follow_symlinks=False)
            yield CachedItem(
                kind=kind, path=Path(entry.path), size=status.st_blocks * 512, last_used=status.st_mtime
            )


def _unpacked(folder: Path) -> Iterator[CachedItem]:
    for entry in _entries(folder):
        if entry.name.startswith(_REMOVED):
            shutil.rmtree(entry.path, ignore_errors=True)  # whoever began to was killed
        elif not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            tree = Path(entry.path)
            with suppress(FileNotFoundError), lock_of(tree).open("rb") as lock:
                text = lock.read(20)
                yield CachedItem(
                    kind=ItemKind.UNPACKED,
                    path=tree,
                    size=int(text) if text.isdigit() else _size_of(tree),
                    last_used=os.fstat(lock.fileno()).st_mtime,
                    in_use=not try_lock(lock.fileno()),
                )


def _remove(item: CachedItem) -> bool:
    with suppress(OSError):
        if item.kind is ItemKind.LAYER and item.path.stat().st_nlink > 1:
            return False
        if item.kind is not ItemKind.UNPACKED:
            item.path.unlink()
            return True
        with lock_of(item.path).open("rb") as lock:
            if not try_lock(lock.fileno()):
                return False
            # By one step, so that a killed one leaves no half image under its name.
            doomed = item.path.with_name(f"{_REMOVED}{item.path.name}")
            item.path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            return True
    return False


def _oldest_user(users: Path) -> float:
    """Return when the oldest of the running commands began; without one, a time that never comes."""
    began = float("inf")
    for entry in _entries(users):
        with suppress(OSError), Path(entry.path).open("rb") as mark:
            if not try_lock(mark.fileno()):  # or it was killed
                began = min(began, os.fstat(mark.fileno()).st_mtime - _CLOCK_STEP)
    return began


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _size_of(tree: Path) -> int:
    return sum(
        (Path(folder) / name).lstat().st_blocks * 512 for folder, _, names in os.walk(tree) for name in names
    )
