"""The process behind ``--publish``: ``python -m enclavize.rune.forward PARENT PIDFILE LISTENER:PORT...``.

It listens in the machine's network, enters the container's, and connects each client to a port there, at
127.0.0.1 or else at ::1. It ends with its parent.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CHUNK = 1 << 16
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


async def _forward(pairs: list[tuple[int, ...]]) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        for descriptor, port in pairs:
            listener = socket.socket(fileno=descriptor)
            listener.setblocking(False)
            tasks.create_task(_accept(loop, listener, port))


async def _accept(loop: asyncio.AbstractEventLoop, listener: socket.socket, port: int) -> None:
    clients: set[asyncio.Task[None]] = set()
    while True:
        try:
            client, _ = await loop.sock_accept(listener)
        except OSError:  # such as too many descriptors: those who are there will go
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            continue
        task = asyncio.create_task(_serve(loop, client, port))
        clients.add(task)
        task.add_done_callback(clients.discard)


async def _serve(loop: asyncio.AbstractEventLoop, client: socket.socket, port: int) -> None:
    """Pass on both ways. What ends one way is the end of that way only; an error is a reset of both."""
    with client:
        server = await _connect(loop, port)
        if server is None:
            _reset(client)
            return
        with server:
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(_pass_on(loop, client, server))
                    ways.create_task(_pass_on(loop, server, client))
            except* OSError:
                _reset(client)
                _reset(server)


async def _connect(loop: asyncio.AbstractEventLoop, port: int) -> socket.socket | None:
    for address in _LOOPBACK:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = None
        try:
            server = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(server, (address, port))
        except OSError:
            if server:
                server.close()
        else:
            return server
    return None


async def _pass_on(loop: asyncio.AbstractEventLoop, source: socket.socket, target: socket.socket) -> None:
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    while count := await loop.sock_recv_into(source, view):
        await loop.sock_sendall(target, view[:count])
    target.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    """Let the other end see what a refused or broken connection is."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


if __name__ == "__main__":
    main(*sys.argv[1:])
