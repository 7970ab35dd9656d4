"""Servers whose workers are forked: requests, ends of workers, reloads, shutdowns. Natively and inside."""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from integration.servers.places import free_port, get
from support.downloads import python_packages
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.servers.places import Place, Server

pytestmark = pytest.mark.integration

REQUESTS = scaled(400, least=40)
CLIENTS = 10
ROWS = scaled(200, least=10)
COMMITTED = CLIENTS * (ROWS // 5) * 4
READY = "database system is ready to accept connections"
MARIADB_READY = "mariadbd: ready for connections"


def workers(port: int, server: Server, wanted: int) -> set[bytes]:
    """Ask until as many workers have answered."""
    seen: set[bytes] = set()

    def all_have_answered() -> bool:
        seen.add(get(port, "/pid"))
        seen.discard(b"")
        return len(seen) >= wanted

    server.until(all_have_answered, f"an answer of {wanted} workers")
    return seen


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_gunicorn_replaces_workers_and_reloads(place: Place, kind: str) -> None:
    port = free_port()
    argv = ("python3", "-m", "gunicorn", "-w", "2", "-k", kind, "-b", f"127.0.0.1:{port}", "--timeout", "5")
    with place.server(*argv, "application") as server:
        first = workers(port, server, 2)
        if kind == "sync":  # threads of gthread hang alone: their worker still tells that it lives
            assert get(port, "/hang") == b""
            server.says("WORKER TIMEOUT")
            server.says("Booting worker", 3)
            assert len(workers(port, server, 2) | first) > len(first)
        booted = sum("Booting worker" in line for line in server.said)
        server.send(signal.SIGHUP)
        server.says("Booting worker", booted + 2)
        server.until(lambda: not workers(port, server, 1) & first, "an answer of new workers")
        assert server.ends(signal.SIGTERM) == 0
        assert "Shutting down: Master" in server.said[-1]


@pytest.mark.parametrize("count", ["2", "4"])
def test_nginx_reloads_while_it_serves(place: Place, count: str) -> None:
    """Its entrypoint makes the configuration of a template. A client that reads on gets all it asked for."""
    port = free_port()
    with place.server(
        "nginx.sh", "nginx", "-c", "/run/nginx/nginx.conf", NGINX_PORT=str(port), NGINX_WORKERS=count
    ) as server:
        server.says("start worker process ", int(count))
        assert get(port) == b"hello\n"
        answers: list[bytes] = []
        clients = [
            threading.Thread(
                target=lambda: answers.extend(get(port, "/large") for _ in range(REQUESTS // 10))
            )
            for _ in range(4)
        ]
        for client in clients:
            client.start()
        server.send(signal.SIGHUP)
        server.says("start worker process ", 2 * int(count))
        for client in clients:
            client.join()
        assert {len(answer) for answer in answers} == {1_000_000}
        server.says("exited with code 0", int(count))
        assert server.ends(signal.SIGQUIT) == 0
    assert [line for line in server.said if "exited with code" in line and "code 0" not in line] == []


def test_apache_makes_new_children_and_restarts_gracefully(place: Place) -> None:
    port = free_port()
    with place.server("apache2", "-f", "/etc/apache.conf", "-DFOREGROUND", PORT=str(port)) as server:
        server.says("resuming normal operations")
        assert {get(port, "/index.html") for _ in range(REQUESTS)} == {b"hello\n"}
        server.send(signal.SIGUSR1)
        server.says("Graceful restart requested")
        server.says("resuming normal operations", 2)
        server.until(lambda: get(port, "/index.html") == b"hello\n", "an answer after the restart")
        assert server.ends(signal.SIGWINCH) == 0
    assert "caught SIGWINCH, shutting down gracefully" in server.said[-1]


class Redis:
    """A client that speaks RESP."""

    def __init__(self, port: int, server: Server) -> None:
        connections: list[socket.socket] = []

        def is_there() -> bool:
            try:
                connections.append(socket.create_connection(("127.0.0.1", port)))
            except ConnectionRefusedError:
                return False
            return True

        server.until(is_there, "a connection")
        self._socket = connections[0]
        self._stream = self._socket.makefile("rwb")

    def close(self) -> None:
        """Say no more."""
        self._stream.close()
        self._socket.close()

    def ask(self, *words: str) -> str:
        """Ask, and return the answer: a line, or a text."""
        self._stream.write(f"*{len(words)}\r\n".encode())
        for word in words:
            self._stream.write(f"${len(word)}\r\n{word}\r\n".encode())
        self._stream.flush()
        line = self._stream.readline().decode().rstrip()
        if line.startswith("$") and line != "$-1":
            return self._stream.read(int(line[1:]) + 2).decode()
        return line


def test_redis_saves_in_forked_children(place: Place) -> None:
    """Its entrypoint gives the folder away and steps down. What was saved is there after a restart."""
    port, rows = free_port(), str(1000 + ROWS)
    options = ("--port", str(port), "--save", "", "--appendonly", "yes", "--enable-debug-command", "yes")
    argv = ("sh", "-c", 'mkdir -p /data/redis; cd /data/redis; exec redis.sh "$@"', "sh", *options)
    with place.server(*argv) as server:
        redis = Redis(port, server)
        assert redis.ask("DEBUG", "POPULATE", rows) == "+OK"
        for command, doing, done in (
            ("BGSAVE", "rdb_bgsave_in_progress:1", "rdb_last_bgsave_status:ok"),
            ("BGREWRITEAOF", "aof_rewrite_in_progress:1", "aof_last_bgrewrite_status:ok"),
        ):
            assert redis.ask(command).startswith("+Background")
            server.until(lambda doing=doing: doing not in redis.ask("INFO", "persistence"), command)  # type: ignore[misc]
            assert done in redis.ask("INFO", "persistence")
        assert redis.ask("SET", "last", "word") == "+OK"
        redis.close()
        assert server.ends(signal.SIGTERM) == 0
    (dump,) = (place.data / "redis").glob("dump.rdb")
    assert (dump.stat().st_uid, dump.stat().st_mode & 0o777) == (100, 0o600)
    with place.server(*argv) as server:
        redis = Redis(port, server)
        server.until(lambda: not redis.ask("PING").startswith("-LOADING"), "the end of loading")
        assert redis.ask("DBSIZE") == f":{int(rows) + 1}"
        assert redis.ask("GET", "last") == "word\r\n"
        redis.close()
        assert server.ends(signal.SIGINT) == 0


def client_library(package: str, module: str) -> Any:
    """Import a client that is no part of the project."""
    sys.path.append(str(python_packages("3.11", package)))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.pop()


def insert_at_once(connect: Callable[[], Any]) -> None:
    """Let clients insert side by side, by the Python DB API; they take back a row of five."""

    def work(who: int) -> None:
        connection = connect()
        cursor = connection.cursor()
        for row in range(ROWS):
            cursor.execute("INSERT INTO made VALUES (%s, %s)", (who, f"row {row} " * 10))
            if row % 5 == 4:
                connection.rollback()
            elif row % 5 == 3:
                connection.commit()
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))


def count_rows(connect: Callable[[], Any]) -> int:
    """Ask as a client that has just come."""
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM made")
    (found,) = cursor.fetchone()
    connection.close()
    return int(found)


def test_postgresql_keeps_what_its_clients_have_committed(place: Place) -> None:
    """Ten clients at once; the end of a backend by SIGKILL; three kinds of shutdown; one folder for all."""
    pg8000 = client_library("pg8000==1.31.2", "pg8000.dbapi")
    port = free_port()

    def connect() -> Any:
        return pg8000.connect(user="postgres", host="127.0.0.1", port=port, database="app")

    argv = ("postgres.sh", "-p", str(port), "-c", "dynamic_shared_memory_type=posix")
    with place.server(*argv, PGDATA="/data/postgres") as server:
        server.says("the cluster is ready for its first start")
        assert "prepared by postgres" in server.said
        server.says(READY)
        insert_at_once(connect)
        assert count_rows(connect) == COMMITTED
        one, other = connect(), connect()
        one.autocommit = True
        cursor = one.cursor()
        cursor.execute("CHECKPOINT")
        cursor.execute("INSERT INTO made VALUES (-1, 'after the checkpoint')")
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
        other.autocommit = True
        with pytest.raises((pg8000.Error, OSError)):
            other.cursor().execute(f"COPY made FROM PROGRAM 'kill -KILL {int(backend)}; sleep 60'")
        for connection in (one, other):
            with contextlib.suppress(pg8000.Error, OSError):
                connection.close()
        server.says("all server processes terminated; reinitializing")
        server.says(READY, 2)
        assert count_rows(connect) == COMMITTED + 1
        assert server.ends(signal.SIGINT) == 0
    assert re.search(r"redo (starts|done) at|redo is not required", "\n".join(server.said))
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        with place.server(*argv, PGDATA="/data/postgres") as server:
            server.says("there is a cluster already")
            server.says(READY)
            assert count_rows(connect) == COMMITTED + 1
            assert server.ends(number) == 0 or number == signal.SIGKILL


def test_mariadb_keeps_what_its_clients_have_committed(place: Place) -> None:
    """Its entrypoint makes the folder by a server of its own. Ten clients; SIGKILL; one folder for all."""
    pymysql = client_library("PyMySQL==1.1.1", "pymysql")
    port = free_port()

    def connect() -> Any:
        return pymysql.connect(
            user="app", password="secret", host="127.0.0.1", port=port, database="app", autocommit=False
        )

    places = ("--datadir=/data/mariadb", "--socket=/tmp/mariadb/socket", f"--port={port}")
    # By default it reserves 8 TiB of addresses, more than an enclave has.
    sizes = ("--innodb-buffer-pool-size=32M", "--innodb-buffer-pool-size-max=1G", "--innodb-log-file-size=8M")
    argv = ("mysql.sh", *places, *sizes, "--bind-address=127.0.0.1")
    with place.server(*argv) as server:
        server.says("the data folder is ready for its first start")
        assert "prepared by mysql" in server.said
        server.says(MARIADB_READY, 2)
        insert_at_once(connect)
        assert count_rows(connect) == COMMITTED
        one = connect()
        one.cursor().execute("INSERT INTO made VALUES (-1, 'never committed')")
        server.send(signal.SIGKILL)
        server.ends()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with place.server(*argv) as server:
            server.says(MARIADB_READY)
            assert count_rows(connect) == COMMITTED
            assert server.ends(number) == 0 or number == signal.SIGKILL
