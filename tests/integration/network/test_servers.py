"""Servers as people write them, in enclaves: what clients do to them, and what they get, is as natively."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, go_program, need, need_root, static_musl
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.tee import TeeTree

pytestmark = pytest.mark.integration

SERVERS = Path(__file__).parent / "servers"
GREETING = b"hello from inside\n"
LARGE = b"0123456789abcdef" * (1 << 16)
TIMEOUT = 30


def sample_with(base: Path, sample: str, program: str, *scripts: str) -> str:
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


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TeeTree]:
    """TEE images by runtime, made when they are asked for."""
    need("umoci", "skopeo")
    need_root()
    return {}


def tree_of(runtime: str, trees: dict[str, TeeTree], factory: pytest.TempPathFactory) -> TeeTree:
    if runtime in trees:
        return trees[runtime]
    base = factory.mktemp(runtime)
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
            image = sample_with(base, "python", "/usr/bin/python3", "threads.py", "events.py")
        case _:
            need("node")
            image = sample_with(base, "node", "/usr/bin/node", "server.js")
    trees[runtime] = Converter.create(base).tree(
        image, "tree", "--debug", "--allow-args", "--set", "memory=2G", "--set", "threads=128"
    )
    return trees[runtime]


COMMANDS = {
    "go": ("go", "/server"),
    "http.server": ("python", "/usr/bin/python3", "/app/threads.py"),
    "asyncio": ("python", "/usr/bin/python3", "/app/events.py"),
    "node": ("node", "/usr/bin/node", "/app/server.js"),
}
MINIMAL = {"epoll": ("epoll", "/server")}


@contextlib.contextmanager
def running(tree: TeeTree, *argv: str) -> Iterator[int]:
    """Run a server; yields its port. It must be there until it is told to go."""
    with tree.start(*argv) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            port = process.stdout.readline()
            assert port.strip().isdigit(), process.stderr.read().decode(errors="replace")
            yield int(port)
            assert process.poll() is None, process.stderr.read().decode(errors="replace")
        finally:
            process.kill()


OCALLS_OF_A_REQUEST = 3
"""Of the network, for a request over a connection that stays: the wait, the request, the answer."""
UNLUCKY = 0.1
"""Of requests: a look before the wait that another thread's doings send to the host after all."""


OCALLS_OF_A_START = 100
"""Of the network, until there are connections, and to take them."""


def ocalls_of(report: bytes) -> dict[str, int]:
    """Return the numbers of a profile's OCALLs."""
    profile = json.loads(report.splitlines()[-1])
    return {row["name"]: int(row["calls"]) for row in profile["ocalls"]}


def ask(connection: http.client.HTTPConnection, path: str = "/", body: bytes | None = None) -> bytes:
    """Make one request."""
    connection.request("GET" if body is None else "POST", path, body)
    answer = connection.getresponse()
    assert answer.status == http.client.OK
    return answer.read()


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)


def raw(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)


def keep_alive(port: int) -> None:
    """Many requests over one connection, small and large both ways."""
    connection = connect(port)
    for _ in range(scaled(2_000, least=50)):
        assert ask(connection) == GREETING
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


@pytest.mark.parametrize("server", COMMANDS)
def test_a_server_serves(
    server: str, trees: dict[str, TeeTree], tmp_path_factory: pytest.TempPathFactory
) -> None:
    runtime, *argv = COMMANDS[server]
    with running(tree_of(runtime, trees, tmp_path_factory), *argv) as port:
        keep_alive(port)
        many_at_once(port)
        slow_client(port)
        rude_clients(port)
        if server != "asyncio":  # it was written to end with its client's words
            half_closed(port)
    with pytest.raises(ConnectionRefusedError):
        raw(port)


def load(folder: Path, port: int, connections: int) -> int:
    """Make requests over connections that stay, as fast as may be; return how many."""
    count = scaled(200_000, least=8_000)
    program = go_program(Path(__file__).parent / "load", folder / "load")
    arguments = [f"127.0.0.1:{port}", str(connections), str(count)]
    subprocess.run([program, *arguments], check=True, timeout=300)
    return count


@pytest.mark.parametrize(
    ("server", "connections"), [("epoll", 1), ("epoll", 8), ("go", 8), ("node", 1), ("node", 8)], ids=str
)
def test_an_edge_is_never_lost_and_costs_no_ocall_too_many(
    server: str, connections: int, trees: dict[str, TeeTree], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With Go several threads wait, read until nothing is left, and are told of what comes then."""
    runtime, *argv = (COMMANDS | MINIMAL)[server]
    tree = tree_of(runtime, trees, tmp_path_factory)
    with tree.start(*argv, env={"ENCLAVIZE_PROFILE": "json"}) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            port = int(process.stdout.readline())
            count = load(tmp_path_factory.mktemp("load"), port, connections)
            process.terminate()
            ocalls = ocalls_of(process.stderr.read())
        finally:
            process.kill()
    network = {name: calls for name, calls in ocalls.items() if name.startswith(("SOCKET", "EVENTS", "POLL"))}
    print(f"{server}, OCALLs of the network for a request:", sum(network.values()) / count)
    most = OCALLS_OF_A_REQUEST + (0 if server in MINIMAL else UNLUCKY)
    assert sum(network.values()) <= most * count + OCALLS_OF_A_START, network
