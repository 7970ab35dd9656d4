"""Real registries for tests, and an HTTP front that asks for tokens or breaks things on the way."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USERNAME = "alice"
PASSWORD = "down the: rabbit-hole"
HTPASSWD = "alice:$2b$04$.QtHm5SwE4ynBIwY9zasXO2RvXh9i1/MispaCiB/hnYRfDYTuWyrq\n"
START_TIMEOUT = 20


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A running docker-registry. ``host`` is its name in references."""

    host: str
    port: int
    store: Path
    process: subprocess.Popen[bytes]

    def blob_path(self, digest: str) -> Path:
        """Return where the registry keeps a blob."""
        hexadecimal = digest.removeprefix("sha256:")
        return self.store / f"docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"

    def has_stored(self, digest: str) -> bool:
        """Tell whether any repository has the blob."""
        return self.blob_path(digest).is_file()

    def stored_bytes(self) -> int:
        """Return the bytes of all blobs in the store."""
        return sum(path.stat().st_size for path in self.store.rglob("data"))


@contextmanager
def running_registry(
    folder: Path, *, htpasswd: bool = False, relative_urls: bool = False, tls: tuple[Path, Path] | None = None
) -> Iterator[Registry]:
    """Run Debian's docker-registry on a free port of 127.0.0.1, with its store in ``folder``.

    With ``htpasswd`` it wants USERNAME and PASSWORD; ``tls`` is a certificate and its key. Skips the test
    where docker-registry is not installed.
    """
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("docker-registry is not installed")
    store = folder / "store"
    store.mkdir(parents=True)
    port = free_port()
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(store)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "relativeurls": relative_urls},
    }
    if htpasswd:
        (folder / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    if tls:
        config["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield Registry(host=f"127.0.0.1:{port}", port=port, store=store, process=process)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens. Fails when the process ends first."""
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    pytest.fail(f"{process.args!r} does not listen on port {port}")


def write_docker_config(folder: Path, config: dict[str, Any]) -> Path:
    """Write ``config.json`` for DOCKER_CONFIG=``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def auth_entry(username: str = USERNAME, password: str = PASSWORD) -> dict[str, str]:
    """Return an entry of ``auths`` in docker's configuration."""
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


@dataclass
class Front:
    """An HTTP server that hands requests on to a registry.

    ``intercept`` sees each request first; when it returns True it has answered. ``requests`` lists what came,
    as ``METHOD path`` with the headers.
    """

    upstream: int
    intercept: Callable[[FrontHandler], bool] = lambda _handler: False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        front = self

        class Handler(FrontHandler):
            pass

        Handler.front = front
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.host = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, start: str) -> int:
        """Return how many requests began with ``METHOD /path``."""
        return sum(line.startswith(start) for line, _ in self.requests)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of errors, but not of clients that went away between two requests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FrontHandler(BaseHTTPRequestHandler):
    """One connection to a Front."""

    protocol_version = "HTTP/1.1"
    front: Front

    def setup(self) -> None:
        """Count connections."""
        self.front.connections += 1
        super().setup()

    def _handle(self) -> None:
        self.front.requests.append((f"{self.command} {self.path}", dict(self.headers.items())))
        try:
            if not self.front.intercept(self):
                self.forward()
        except (OSError, http.client.HTTPException):  # one of the two sides has gone away
            self.close_connection = True

    do_CONNECT = do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names of http.server

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bool:
        """Answer without the registry; the request's body is thrown away."""
        self._skip_body()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    def _skip_body(self) -> None:
        left = int(self.headers.get("Content-Length", "0"))
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)))

    def forward(self, *, limit: int | None = None, headers: dict[str, str] | None = None) -> bool:
        """Hand the request on. ``limit`` cuts the connection after so many bytes of the answer's body."""
        length = int(self.headers.get("Content-Length", "0"))
        with closing(http.client.HTTPConnection("127.0.0.1", self.front.upstream)) as upstream:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "authorization"):
                    upstream.putheader(name, value)
            upstream.endheaders()
            while length > 0 and (data := self.rfile.read(min(length, 1 << 16))):
                upstream.send(data)
                length -= len(data)
            response = upstream.getresponse()
            self.send_response(response.status)
            for name, value in [*response.getheaders(), *(headers or {}).items()]:
                if name.lower() not in ("connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self._copy(response, limit)
        return True

    def _copy(self, response: http.client.HTTPResponse, limit: int | None) -> None:
        count = 0
        while data := response.read(1 << 16):
            if limit is not None and count + len(data) > limit:
                self.wfile.write(data[: limit - count])
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(data)
            count += len(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class TokenFront(Front):
    """A front that wants bearer tokens and gives them: each for one scope, until ``revoke``.

    Users: USERNAME with PASSWORD, or the identity token ``IDENTITY``. Without credentials one can only pull.
    """

    IDENTITY = "an-identity-token"

    def __init__(self, upstream: int) -> None:
        super().__init__(upstream, self._check)
        self.tokens: dict[str, set[tuple[str, str]]] = {}
        self.expires_in = 300

    def revoke(self) -> None:
        """Make all tokens invalid, as time would."""
        self.tokens.clear()

    def _check(self, handler: FrontHandler) -> bool:
        url = urllib.parse.urlsplit(handler.path)
        if url.path == "/token":
            return self._give_token(handler, url.query)
        wanted = self._wanted(handler.command, url)
        held = self.tokens.get(handler.headers.get("Authorization", "").removeprefix("Bearer "))
        if held is not None and wanted <= held:
            return False
        scope = " ".join(f"repository:{name}:{action}" for name, action in sorted(wanted))
        challenge = f'Bearer realm="http://{self.host}/token",service="test",scope="{scope}"'
        body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        return handler.answer(401, body, {"WWW-Authenticate": challenge})

    @staticmethod
    def _wanted(method: str, url: urllib.parse.SplitResult) -> set[tuple[str, str]]:
        path = url.path.removeprefix("/v2/")
        for part in ("/blobs/", "/manifests/", "/tags/", "/referrers/"):
            if part in path:
                repository = path.partition(part)[0]
                actions = {"pull"} if method in ("GET", "HEAD") else {"pull", "push"}
                wanted = {(repository, action) for action in actions}
                if source := urllib.parse.parse_qs(url.query).get("from"):
                    wanted.add((source[0], "pull"))
                return wanted
        return set()

    def _give_token(self, handler: FrontHandler, query: str) -> bool:
        if handler.command == "POST":
            query = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
            handler.headers.replace_header("Content-Length", "0")
        values = urllib.parse.parse_qs(query)
        login = "Basic " + auth_entry()["auth"]
        known = handler.headers.get("Authorization") == login or values.get("refresh_token") == [
            self.IDENTITY
        ]
        if not known and (handler.headers.get("Authorization") or values.get("refresh_token")):
            return handler.answer(401, b'{"details":"incorrect username or password"}')
        granted = set()
        for scope in " ".join(values.get("scope", [])).split():
            _, repository, actions = scope.split(":")
            granted |= {(repository, action) for action in actions.split(",") if known or action == "pull"}
        token = secrets.token_urlsafe()
        self.tokens[token] = granted
        key = "access_token" if handler.command == "POST" else "token"
        return handler.answer(200, json.dumps({key: token, "expires_in": self.expires_in}).encode())
