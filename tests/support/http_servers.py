"""HTTP servers of several runtimes (tests/integration/network/servers) as TEE images, and their clients."""

from __future__ import annotations

import http.client
import shutil
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from support.programs import REPOSITORY, go_program, need, static_musl
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

SERVERS = REPOSITORY / "tests" / "integration" / "network" / "servers"
GREETING = b"hello from inside\n"
LARGE = b"0123456789abcdef" * (1 << 16)
TIMEOUT = 120


def _sample_with(base: Path, sample: str, program: str, *scripts: str) -> str:
    """Build a sample's image, and put scripts beside its own that ``program`` runs."""
    layout, app = base / "layout", base / "app"
    subprocess.run([REPOSITORY / "samples" / "build.sh", sample, layout], check=True, capture_output=True)
    app.mkdir()
    for script in scripts:
        shutil.copy(SERVERS / script, app)
    for command in (
        ["insert", "--rootless", "--image", f"{layout}:1", app, "/app"],
        ["config", "--image", f"{layout}:1", "--clear", "config.entrypoint", "--config.cmd", program],
    ):
        subprocess.run(["umoci", *command], check=True, capture_output=True)
    return f"oci:{layout}:1"


COMMANDS = {
    "go": ("go", "/server"),
    "http.server": ("python", "/usr/bin/python3", "/app/threads.py"),
    "asyncio": ("python", "/usr/bin/python3", "/app/events.py"),
    "node": ("node", "/usr/bin/node", "/app/server.js"),
}
MINIMAL = {"epoll": ("epoll", "/server")}
"""What answers to everything with the greeting."""


def server_tree(runtime: str, base: Path, *settings: str) -> TeeTree:
    """Return a TEE image with the servers of this runtime and these settings, made below ``base``."""
    match runtime:
        case "go":
            root = base / "rootfs"
            root.mkdir()
            go_program(SERVERS, root / "server")
            image = ordinary_image(base / "layout", root, config=["--config.cmd", "/server"])
        case "epoll":
            root = base / "rootfs"
            root.mkdir()
            static_musl(SERVERS / "epoll.c", root / "server")
            image = ordinary_image(base / "layout", root, config=["--config.cmd", "/server"])
        case "python":
            need("/usr/bin/python3")
            image = _sample_with(base, "python", "/usr/bin/python3", "threads.py", "events.py")
        case _:
            need("node")
            image = _sample_with(base, "node", "/usr/bin/node", "server.js")
    options = [option for setting in ("memory=2G", "threads=128", *settings) for option in ("--set", setting)]
    return Converter.create(base).tree(image, "tree", "--debug", "--allow-args", *options)


def ask(connection: http.client.HTTPConnection, path: str = "/", body: bytes | None = None) -> bytes:
    """Make one request."""
    connection.request("GET" if body is None else "POST", path, body)
    answer = connection.getresponse()
    assert answer.status == http.client.OK
    return answer.read()


def connect(port: int) -> http.client.HTTPConnection:
    """Return a connection that is made with the first request."""
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)


def raw(port: int) -> socket.socket:
    """Return a connection of bytes."""
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)


def keep_alive(port: int) -> None:
    """Many requests over one connection."""
    connection = connect(port)
    for _ in range(scaled(2_000, least=50)):
        assert ask(connection) == GREETING
    connection.close()


def large_bodies(port: int) -> None:
    """A mebibyte to the client, and much of one from it and back, over one connection."""
    connection = connect(port)
    assert ask(connection, "/large") == LARGE
    assert ask(connection, "/echo", LARGE[:300_000]) == LARGE[:300_000]
    connection.close()


def many_at_once(port: int) -> None:
    """Connections that are all open at the same time."""
    count = scaled(1_000, least=60)
    connections = [connect(port) for _ in range(count)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, connections)) == [GREETING] * count
        assert list(pool.map(ask, reversed(connections))) == [GREETING] * count
    for connection in connections:
        connection.close()


def slow_client(port: int) -> None:
    """A request byte by byte, while others are served."""
    with raw(port) as client:
        other = connect(port)
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n":
            client.sendall(bytes([byte]))
            assert byte % 8 or ask(other) == GREETING
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        other.close()


def rude_clients(port: int) -> None:
    """Resets in the middle of a request, and of an answer that nobody reads."""
    for request in (
        b"GET / HT",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc",
        b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        for _ in range(5):
            with raw(port) as client:
                client.sendall(request)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection = connect(port)
    assert ask(connection) == GREETING
    connection.close()


def half_closed(port: int) -> None:
    """A client that says no more, and still hears the answer to its end."""
    with raw(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert answer.endswith(GREETING)
