"""The process behind ``--publish``: ``python -m enclavize.rune.forward PARENT PIDFILE LISTENER:PORT...``.

It listens in the machine's network, enters the container's, and connects each client to a port there, at
127.0.0.1 or else at ::1. It ends with its parent.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

from enclavize.rune.publish import BACKLOG

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_RESET = b"\1\0\0\0\0\0\0\0"
"""struct linger: at once."""
_LOOPBACK = ("127.0.0.1", "::1")
_LOOK_AGAIN_SECONDS = 0.02


def main(parent: str, pid_file: str, *pairs: str) -> None:
    """Forward until a signal comes."""
    _end_with(int(parent))
    try:
        _enter_network(_process_of(Path(pid_file)))
    except OSError as error:
        sys.exit(f"enclavize: --publish: the container's network cannot be entered: {error.strerror}")
    _end_with(int(parent))  # entering a namespace of users makes the kernel forget it
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_forward([tuple(map(int, pair.split(":"))) for pair in pairs]))


def _end_with(parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _process_of(pid_file: Path) -> int:
    """Wait until the runtime has written the file, which it does by renaming a whole one."""
    while True:
        with suppress(OSError, ValueError):
            return int(pid_file.read_text())
        time.sleep(_LOOK_AGAIN_SECONDS)


def _enter_network(process: int) -> None:
    """Enter the namespaces: a rootless container's network belongs to its users."""
    for kind in ("user", "net"):
        path = f"/proc/{process}/ns/{kind}"
        if Path(path).stat().st_ino == Path(f"/proc/self/ns/{kind}").stat().st_ino:
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if _LIBC.setns(descriptor, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"setns: {os.strerror(code)}", path)
        os.close(descriptor)


class _End(asyncio.Protocol):
    """One connection of a pair. What comes goes to the other; its end is the end of that way only."""

    def __init__(self, other: _End | None = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing until there is somebody who takes it."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if target := self._target:
            target.write(data)

    def eof_received(self) -> bool:
        """Say so, and keep the other way, if that has not ended before."""
        self.has_ended = True
        if self.other and self.other.has_ended:
            return False  # connection_lost() closes the other
        if (target := self._target) and not target.is_closing():
            target.write_eof()
        return True

    def pause_writing(self) -> None:
        """Let the other wait: who is here does not read as fast."""
        if target := self._target:
            target.pause_reading()

    def resume_writing(self) -> None:
        """Let the other go on."""
        if target := self._target:
            target.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other in the same way, after what is still to be written."""
        if exc and self.other:
            self.other.reset()
        elif target := self._target:
            target.close()

    def reset(self) -> None:
        """Let who is here see what a refused or broken connection is."""
        if self.transport:
            connection = self.transport.get_extra_info("socket")
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    @property
    def _target(self) -> asyncio.Transport | None:
        return self.other.transport if self.other else None


class _Client(_End):
    """A connection from the machine's network, which is led to a port of the container's."""

    def __init__(self, port: int, tasks: set[asyncio.Task[None]]) -> None:
        super().__init__()
        self._port = port
        self._tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the container."""
        super().connection_made(transport)
        task = asyncio.create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        for address in _LOOPBACK:
            with suppress(OSError):
                _, self.other = await loop.create_connection(lambda: _End(self), address, self._port)
                break
        if self.other is None:
            self.reset()
        elif self.transport is None or self.transport.is_closing():
            self.other.reset()
        else:
            self.resume_writing()
            self.other.resume_writing()


async def _forward(pairs: list[tuple[int, ...]]) -> None:
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    for descriptor, port in pairs:
        await loop.create_server(
            functools.partial(_Client, port, tasks), sock=socket.socket(fileno=descriptor), backlog=BACKLOG
        )
    await loop.create_future()


if __name__ == "__main__":
    main(*sys.argv[1:])
