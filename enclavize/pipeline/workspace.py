"""Where a build puts large files for the time that it runs.

    <cache>/work/<random>/      of one build; the build holds a lock on it

What a killed build left has no lock, and the next build removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.lock import locked, try_lock
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.cache import BlobCache

_LOCK = "lock"


@contextmanager
def workspace(cache: BlobCache) -> Iterator[Path]:
    """Make a folder for one build and remove it afterwards."""
    parent = cache.folder("work")
    with storage_errors("write", parent):
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(parent / _LOCK):  # so that nobody sees a folder before it is locked
            _remove_abandoned(parent)
            folder = Path(tempfile.mkdtemp(dir=parent))
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.iterdir():
        if folder.name == _LOCK:
            continue
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if try_lock(lock):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
