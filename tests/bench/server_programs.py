"""Servers that are measured: a root file system for each, the command, and who asks it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from support.certificates import make_certificate
from support.programs import REPOSITORY, go_program, static_musl, with_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVERS = REPOSITORY / "tests" / "integration" / "network" / "servers"
TEN_KILOBYTES = b"0123456789" * 1_000
WORKERS = (1, 2, 4)
"""Of a server that forks them; in the enclave they take turns."""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
NGINX = """
daemon off; master_process off; user root; pid /tmp/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server {{ listen 127.0.0.1:{port}; root /www; }}
}}
"""


class Client(Enum):
    """How a server is asked."""

    KEPT = "http"
    """Many requests over connections that stay."""
    TLS = "https"
    CLOSED = "http, a connection for each request"
    GET = "get"
    SET = "set"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a client saw: requests a second, and milliseconds that 99 of 100 did not take."""

    rate: float
    p99: float
    count: int
    """Of requests."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A server that can be had here. Without a port it prints one."""

    name: str
    root: Path
    argv: tuple[str, ...]
    port: int | None = None
    path: str = "/"
    clients: tuple[Client, ...] = (Client.KEPT,)
    writes: tuple[str, ...] = ()
    """Folders of the image."""


def ask(client: Client, port: int, path: str, *, connections: int, seconds: int) -> Load:
    """Have a client make requests for some time, or as many as take about that long."""
    match client:
        case Client.GET | Client.SET:
            return _redis(client, port, connections)
        case _:
            return _wrk(client, port, path, connections, seconds)


def _wrk(client: Client, port: int, path: str, connections: int, seconds: int) -> Load:
    closes = ("-H", "Connection: close") if client is Client.CLOSED else ()
    url = f"{'https' if client is Client.TLS else 'http'}://127.0.0.1:{port}{path}"
    command = ("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *closes, url)
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec: +([\d.]+)", told)
    p99 = re.search(r"99% +([\d.]+)(us|ms|s)\b", told)
    count = re.search(r"(\d+) requests in", told)
    if rate is None or p99 is None or count is None or "Non-2xx" in told or not int(count[1]):
        raise SystemExit(f"wrk: {told}")
    return Load(rate=float(rate[1]), p99=float(p99[1]) * UNITS[p99[2]], count=int(count[1]))


REDIS_REQUESTS = 30_000


def _redis(client: Client, port: int, connections: int) -> Load:
    options = ("-p", str(port), "-c", str(connections), "-n", str(REDIS_REQUESTS), "-t", client.value)
    command = ("redis-benchmark", "-q", "--csv", *options)
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    heading, row = (line.replace('"', "").split(",") for line in told.splitlines())
    found = dict(zip(heading, row, strict=True))
    return Load(rate=float(found["rps"]), p99=float(found["p99_latency_ms"]), count=REDIS_REQUESTS)


def programs(base: Path) -> Iterator[Program]:
    """Make a root file system for each server that can be had."""
    static_musl(SERVERS / "epoll.c", _root(base, "epoll") / "server")
    yield Program(name="epoll server in C", root=base / "epoll", argv=("/server",))
    for workers in WORKERS:
        name = f"prefork server in C, workers: {workers}"
        yield Program(name=name, root=base / "epoll", argv=("/server", str(workers)))
    if shutil.which("go") is not None:
        root = _root(base, "go")
        go_program(SERVERS, root / "server")
        make_certificate(root)
        yield Program(name="Go net/http", root=root, argv=("/server",))
        argv = ("/server", "0", "/certificate.pem", "/key.pem")
        yield Program(name="Go net/http", root=root, argv=argv, clients=(Client.TLS,))
    search = "/usr/bin:/usr/local/bin:/usr/sbin"
    node, nginx, redis = (shutil.which(name, path=search) for name in ("node", "nginx", "redis-server"))
    if node is not None:
        root = _with_program(_root(base, "node"), node)
        shutil.copy(SERVERS / "server.js", root)
        yield Program(name="Node http", root=root, argv=("/bin/node", "/server.js"))
    if nginx is not None:
        root, port = _with_program(_root(base, "nginx"), nginx), free_port()
        (root / "nginx.conf").write_text(NGINX.format(port=port))
        (root / "file").write_bytes(TEN_KILOBYTES)
        for folder in ("tmp", "www", "etc", "var/log/nginx", "var/lib/nginx"):
            (root / folder).mkdir(parents=True)
        (root / "file").rename(root / "www" / "file")
        (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
        (root / "etc" / "group").write_text("root:x:0:\n")
        yield Program(
            name="nginx, 10 KB", root=root, argv=("/bin/nginx", "-c", "/nginx.conf"), port=port, path="/file",
            clients=(Client.KEPT, Client.CLOSED), writes=("/var/lib/nginx", "/var/log/nginx"),
        )  # fmt: skip
    if redis is not None and shutil.which("redis-benchmark") is not None:
        root, port = _with_program(_root(base, "redis"), redis), free_port()
        yield Program(
            name="Redis", root=root, port=port, clients=(Client.GET, Client.SET),
            argv=("/bin/redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
        )  # fmt: skip


def _root(base: Path, name: str) -> Path:
    root = base / name
    root.mkdir()
    return root


def _with_program(root: Path, program: str) -> Path:
    (root / "bin").mkdir()
    shutil.copy(Path(program).resolve(), root / "bin" / Path(program).name)
    with_libraries(root, Path(program))
    return root


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
