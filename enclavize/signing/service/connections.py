"""The open connections of the service, counted from accept on; when there are too many, one gives way.

asyncio tells a protocol of a connection when its TLS handshake is done. Until then only the listening socket
knows of it, so it is that socket which counts. As in nginx (``ngx_drain_connections``), a new connection
takes the place of the one that has asked for nothing for the longest time. The address with the most of these
loses first: who opens many connections closes their own.
"""

from __future__ import annotations

import ipaddress
import logging
import resource
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSABLE = 16
"""Connections beyond the limit: while all others have requests under way, these are told so, and why."""

RESERVE = 64
"""Descriptors for all but connections: the audit log, the event loop, the sockets and files of tokens."""

WARNING_INTERVAL = 60
"""Seconds between two lines of the log that connections were closed for others."""

_IPV6_NETWORK_BITS = 64  # RFC 6177: what one site has at least
_LOG = logging.getLogger("enclavize.signer")


class State(Enum):
    """What a connection does."""

    WAITING = auto()  # in its handshake, or between two requests, or its request has not begun to arrive
    BUSY = auto()  # it has a request that is not answered yet
    LEAVING = auto()  # it was told to end, and its descriptor is not closed yet


class Connection(socket.socket):
    """An accepted socket. ``end`` closes the connection soon, whatever it does."""

    connections: Connections
    group: str
    state = State.WAITING
    end: Callable[[], None]

    def close(self) -> None:
        self.connections.forget(self)
        super().close()

    def cut(self) -> None:
        """What there is to do before a transport can be asked: its reader finds the end."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class Connections:
    """Knows all connections; at most ``maximum`` and ``REFUSABLE`` more have descriptors."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._by_descriptor: dict[int, Connection] = {}
        self._waiting: dict[str, OrderedDict[Connection, None]] = {}  # by group, who waits longest first
        self._leaving = 0
        self._closed = 0
        self._warned = -float(WARNING_INTERVAL)

    @property
    def are_too_many(self) -> bool:
        return len(self._by_descriptor) - self._leaving > self._maximum

    @property
    def must_wait(self) -> bool:
        """Whether the descriptors of connections that were ended have to be closed first."""
        return self._leaving > 0 and self._has_no_room

    @property
    def _has_no_room(self) -> bool:
        return len(self._by_descriptor) >= self._maximum + REFUSABLE

    def add(self, connection: Connection, address: str) -> bool:
        """Count a new connection; another one may have to go for it. False if all are busy."""
        is_full = len(self._by_descriptor) - self._leaving >= self._maximum
        if is_full and not self.make_room() and self._has_no_room:
            return False
        connection.group = group_of(address)
        connection.end = connection.cut
        self._by_descriptor[connection.fileno()] = connection
        self._waiting.setdefault(connection.group, OrderedDict())[connection] = None
        return True

    def of(self, descriptor: int) -> Connection:
        """The connection that has this descriptor."""
        return self._by_descriptor[descriptor]

    def move(self, connection: Connection, state: State) -> None:
        """Note what a connection does now."""
        if connection.state in (state, State.LEAVING):
            return
        if connection.state is State.WAITING:
            group = self._waiting[connection.group]
            del group[connection]
            if not group:
                del self._waiting[connection.group]
        connection.state = state
        if state is State.WAITING:
            self._waiting.setdefault(connection.group, OrderedDict())[connection] = None
        self._leaving += state is State.LEAVING

    def make_room(self) -> bool:
        """End the connection that gives way; False if all are busy."""
        group = max(self._waiting.values(), key=len, default=None)
        if group is None:
            return False
        connection = next(iter(group))
        self.move(connection, State.LEAVING)
        connection.end()
        self._warn()
        return True

    def forget(self, connection: Connection) -> None:
        """Its descriptor is about to be closed."""
        if self._by_descriptor.get(connection.fileno()) is connection:
            self.move(connection, State.LEAVING)
            self._leaving -= 1
            del self._by_descriptor[connection.fileno()]

    def _warn(self) -> None:
        self._closed += 1
        if time.monotonic() - self._warned >= WARNING_INTERVAL:
            facts = {"max_connections": self._maximum, "closed_for_others": self._closed}
            _LOG.warning("too many connections", extra={"facts": facts})
            self._warned = time.monotonic()


class Listener(socket.socket):
    """A listening TCP socket for asyncio, whose connections are :class:`Connection`."""

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises what makes asyncio come back later: ``BlockingIOError`` or ``ConnectionAbortedError``."""
        if self.connections.must_wait:
            raise BlockingIOError
        try:
            plain, address = super().accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            raise
        except OSError as error:  # descriptors or memory of the whole machine: asyncio waits a second
            if self.connections.make_room():
                raise BlockingIOError from error
            raise
        connection = Connection(plain.family, plain.type, plain.proto, plain.detach())
        connection.connections = self.connections
        if not self.connections.add(connection, address[0]):
            connection.close()
            raise ConnectionAbortedError
        return connection, address


def group_of(address: str) -> str:
    """The addresses that count as one: an IPv4 address, or the /64 network of an IPv6 address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(int(parsed) >> 128 - _IPV6_NETWORK_BITS)


def reserve_descriptors(maximum: int) -> None:
    """Make sure that ``maximum`` connections leave descriptors for the rest. Raises ``UsageError``."""
    needed = maximum + REFUSABLE + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise UsageError(
                f"max_connections = {maximum} needs {needed} file descriptors; {hard} are allowed",
                hint="Allow more (LimitNOFILE in systemd, ulimit -n), or fewer connections.",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
