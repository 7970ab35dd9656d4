"""A lock between processes and threads that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_INTERVAL = 0.05
"""Seconds between two attempts. A thread that sleeps in flock(2) could not be told to give up."""


@contextmanager
def locked(path: Path, *, while_waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock that the (empty, lasting) file ``path`` stands for; wait for it if need be.

    ``while_waiting`` is called again and again meanwhile, and may raise to give up.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try(lock):
            while_waiting()
            time.sleep(_INTERVAL)
        yield
    finally:
        os.close(lock)


def _try(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
