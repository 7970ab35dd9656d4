"""``enclavize signer serve``: configuration, keys, audit log, TLS and uvicorn."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import signal
import socket
import ssl
import stat
import sys
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from enclavize import __version__
from enclavize.errors import UsageError
from enclavize.signing.service.app import PEER_CERTIFICATE, error_response, make_app
from enclavize.signing.service.audit import AuditLog
from enclavize.signing.service.config import load_config
from enclavize.signing.service.connections import Connections, Listener, State, reserve_descriptors
from enclavize.signing.service.core import SigningService
from enclavize.signing.service.protocol import build_error
from enclavize.signing.signers import open_signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.signing.local import Signer
    from enclavize.signing.service.config import KeyConfig, ServiceConfig
    from enclavize.signing.service.connections import Connection

GRACE = 10
"""Seconds that requests under way have after SIGTERM."""

_FAREWELL = 1
"""Seconds in which a client has to agree to the end of a TLS connection; one that is idle never does."""

_MAX_HEADERS = 16 * 1024
_MAX_SECRET = 4096
_LOG = logging.getLogger("enclavize.signer")


def serve(config_path: Path) -> None:
    """Runs until SIGTERM or SIGINT. Raises ``EnclavizeError`` for what keeps it from starting."""
    config = load_config(config_path)
    _set_up_logging()
    signers = {key.name: _open_key(key) for key in config.keys.values()}
    tls = _tls_context(config)
    reserve_descriptors(config.max_connections)
    listener = _listen(config)
    log = AuditLog(config.audit_log)
    try:
        if log.recovered:
            _say(logging.WARNING, "recovered", torn_bytes=len(log.recovered), audit_log=str(log.path))
        service = SigningService(signers, log)
        _append(log, {"event": "started", "version": __version__})
        address, port = listener.getsockname()[:2]
        _say(logging.INFO, "listening", address=address, port=port, **_chain(log))
        try:
            _run(config, service, tls, listener)
        finally:
            service.close()
            if not log.is_broken:
                _append(log, {"event": "stopped"})
            _say(logging.INFO, "stopped", **_chain(log))
    finally:
        log.close()


def _chain(log: AuditLog) -> dict[str, object]:
    """What to note elsewhere, to find out later if lines were cut off."""
    return {"audit_count": log.count, "audit_head": log.head}


def _append(log: AuditLog, entry: dict[str, object]) -> None:
    try:
        log.append([entry])
    except OSError as error:
        raise UsageError(f"cannot write the audit log {log.path}: {error.strerror or error}") from error


def _open_key(key: KeyConfig) -> Signer:
    path = key.secret_file
    return open_signer(key.reference, (lambda: _read_secret(path)) if path else None)


def _read_secret(path: Path) -> bytes:
    """The first line of a file that not every user can read."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    _check_private(path)
    return data.partition(b"\n")[0].removesuffix(b"\r")


def _check_private(path: Path) -> None:
    if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise UsageError(f"every user of this machine can read {path}", hint=f"chmod 600 {path}")


def _tls_context(config: ServiceConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.certificate, config.private_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot use {config.certificate} with {config.private_key} for TLS: {error}"
        ) from error
    _check_private(config.private_key)
    if config.client_ca:
        try:
            context.load_verify_locations(config.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"cannot use {config.client_ca} as certificates of clients: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL  # clients with a token alone, and load balancers, have none
    return context


def _listen(config: ServiceConfig) -> Listener:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it each answer waits 40 ms.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.connections = Connections(config.max_connections)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen()  # who is told that the service listens can connect
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error
    return listener


def _run(config: ServiceConfig, service: SigningService, tls: ssl.SSLContext, listener: Listener) -> None:
    class Protocol(_Protocol):
        request_timeout = config.request_timeout
        open_connections = listener.connections

    settings = uvicorn.Config(
        make_app(config, service),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=_MAX_HEADERS,
        ssl_context_factory=lambda _config, _default: tls,
    )
    handshake = config.request_timeout

    class Loop(asyncio.SelectorEventLoop):
        async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
            """uvicorn has no options for these; the defaults are a minute, and half of one."""
            server: asyncio.Server = await super().create_server(
                *args, **kwargs, ssl_handshake_timeout=handshake, ssl_shutdown_timeout=_FAREWELL
            )
            return server

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_Server(settings).serve([listener]))


class _Server(uvicorn.Server):
    """Ends normally after SIGTERM, where uvicorn would raise the signal again; a second one does not wait."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


class _Protocol(H11Protocol):
    """One connection: shows the client's certificate, and ends it if a request takes too long to arrive.

    What uvicorn says by itself, in plain text, is said as all other errors here.
    """

    request_timeout: int
    open_connections: Connections
    _connection: Connection
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, PEER_CERTIFICATE: tls.getpeercert(binary_form=True)}
        self._connection = self.open_connections.of(transport.get_extra_info("socket").fileno())
        self._connection.end = transport.abort
        if self.open_connections.are_too_many:
            self.app = error_response(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note_state()

    def send_400_response(self, _msg: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is on its way already
            self.transport.close()
            return
        body = build_error("this is not valid HTTP")
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = h11.Response(status_code=HTTPStatus.BAD_REQUEST, headers=list(headers.items()))
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note_state()
        if not self.transport.is_closing():
            self._wait_for_request()

    def _note_state(self) -> None:
        is_busy = self.conn.our_state in (h11.SEND_RESPONSE, h11.SEND_BODY)
        self.open_connections.move(self._connection, State.BUSY if is_busy else State.WAITING)

    def _wait_for_request(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.request_timeout, self._give_up)

    def _give_up(self) -> None:
        arrived = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        if not arrived or self.cycle.response_complete:
            self.transport.abort()


def _set_up_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.ERROR, handlers=[handler])
    _LOG.setLevel(logging.INFO)


def _say(level: int, event: str, **facts: object) -> None:
    _LOG.log(level, event, extra={"facts": facts})


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
