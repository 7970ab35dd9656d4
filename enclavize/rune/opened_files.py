"""Which files of an unpacked tree are opened while a container runs, by any process: inotify(7).

The reading is done by a process of its own: the kernel's queue is short, and whoever starts the container is
to have one thread. Names are those that the host opens, behind all symbolic links.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_IN_OPEN = 0x20
_IN_Q_OVERFLOW = 0x4000
_IN_ONLYDIR = 0x01000000
_IN_ISDIR = 0x40000000
_EVENT = struct.Struct("iIII")
"""``struct inotify_event``: watch, mask, cookie, bytes of the name that follows."""

_CHUNK = 1 << 18
_STOPPING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class OpenedFiles:
    """What was seen. ``paths`` are absolute in the container; complete once the block of ``watched`` ends."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.overflowed = False


@contextmanager
def watched(tree: Path, without: Collection[str]) -> Iterator[OpenedFiles]:
    """Watch all folders below ``tree`` but those ``without``. Raises EnclavizeError if they are too many."""
    opened = OpenedFiles()
    queue = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if queue < 0:
        raise EnclavizeError(f"inotify: {os.strerror(ctypes.get_errno())}")
    try:
        folders = dict(_watches(queue, tree, without))
        with tempfile.TemporaryFile() as spool:
            read_end, write_end = os.pipe()
            reader = os.fork()
            if reader == 0:
                os.close(write_end)
                _copy(queue, read_end, spool.fileno())
            os.close(read_end)
            try:
                yield opened
            finally:
                os.close(write_end)
                os.waitpid(reader, 0)
            spool.seek(0)
            for watch, mask, name in _events(spool):
                if mask & _IN_Q_OVERFLOW:
                    opened.overflowed = True
                elif not mask & _IN_ISDIR and name:
                    opened.paths.add(f"{folders[watch]}/{name}")
    finally:
        os.close(queue)


def _watches(queue: int, tree: Path, without: Collection[str]) -> Iterator[tuple[int, str]]:
    for folder, names, _ in os.walk(tree):
        path = folder.removeprefix(str(tree))
        names[:] = [name for name in names if f"{path}/{name}" not in without]
        watch = _libc.inotify_add_watch(queue, os.fsencode(folder), _IN_OPEN | _IN_ONLYDIR)
        if watch < 0:
            raise EnclavizeError(
                f"cannot watch {folder}: {os.strerror(ctypes.get_errno())}",
                hint="raise fs.inotify.max_user_watches",
            )
        yield watch, path


def _copy(queue: int, stop: int, spool: int) -> None:
    """Copy events until ``stop`` is closed at its other end; end the process."""
    try:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        going_on = True
        while going_on:
            ready, _, _ = select.select([queue, stop], [], [])
            going_on = stop not in ready
            while data := _read(queue):
                os.write(spool, data)
    finally:
        os._exit(0)


def _read(queue: int) -> bytes:
    try:
        return os.read(queue, _CHUNK)
    except BlockingIOError:
        return b""


def _events(spool: BinaryIO) -> Iterator[tuple[int, int, str]]:
    while head := spool.read(_EVENT.size):
        watch, mask, _, length = _EVENT.unpack(head)
        yield watch, mask, os.fsdecode(spool.read(length).rstrip(b"\0"))
