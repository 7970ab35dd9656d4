"""How far a layer is read, for other commands that wait for it: eight bytes in the file of its lock."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.progress import Task

_COUNT = struct.Struct("<Q")


class SharedProgress:
    """The bytes that were read of one layer. It only informs: errors of the disk are passed over."""

    def __init__(self, lock: Path) -> None:
        self._lock = lock
        self._count = 0

    def begin(self) -> None:
        """Tell that nothing was read yet, as whoever has the lock."""
        self._count = 0
        self._tell()

    def advance(self, count: int) -> None:
        """Tell of ``count`` bytes more."""
        self._count += count
        self._tell()

    def show(self, task: Task) -> None:
        """Bring a task to where the one is that has the lock."""
        with suppress(OSError), self._lock.open("rb") as file:
            data = file.read(_COUNT.size)
            if len(data) == _COUNT.size:
                step = min(_COUNT.unpack(data)[0], task.total or 0) - task.current
                if step:
                    task.advance(step)

    def _tell(self) -> None:
        with suppress(OSError):
            descriptor = os.open(self._lock, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(descriptor, _COUNT.pack(self._count), 0)
            finally:
                os.close(descriptor)
