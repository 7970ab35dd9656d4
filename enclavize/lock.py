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
def locked(
    path: Path, *, wait: bool = True, while_waiting: Callable[[], object] | None = None
) -> Iterator[None]:
    """Hold the lock that the lasting file ``path`` stands for, which is made if need be; its content is free.

    ``while_waiting`` is called again and again meanwhile, and may raise to give up. Raises BlockingIOError if
    another one has it and it may not ``wait``.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if while_waiting is None:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        else:
            while not try_lock(lock):
                while_waiting()
                time.sleep(_INTERVAL)
        yield
    finally:
        os.close(lock)


def try_lock(descriptor: int) -> bool:
    """Lock an open file, and tell whether that was possible at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
