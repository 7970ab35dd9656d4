"""Connections by urllib3: kept in a pool for each proxy and kind of site."""

from __future__ import annotations

import socket
import ssl
import threading
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import urllib3
from urllib3 import exceptions as http_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from enclavize.errors import RegistryError
from enclavize.oci.registry.address import authority_of, origin_of, request_target, site_of
from enclavize.oci.registry.certificates import tls_contexts
from enclavize.oci.registry.errors import printable
from enclavize.oci.registry.proxies import Proxies
from enclavize.oci.stream import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

    from enclavize.oci.registry.certificates import Contexts

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
"""Seconds without a byte. Registries may be silent for long while they verify an uploaded blob."""

_PATIENCE = 0.5
"""Seconds until the offer of TLS is said to be complete: who answers does so in milliseconds."""

CONNECTIONS = 8


_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
"""What OpenSSL says of an answer that is no record of TLS (ssl/record/methods/tls_common.c)."""

_TARGET = "Target"
"""Stands among the headers until a request is written."""


class _ExactTarget(HTTPConnection):
    """Asks for what ``_TARGET`` names, and not for what urllib3 makes of the address.

    That one changes the case of percent-encodings.
    """

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        **options: Any,
    ) -> None:
        """Write a request; ``url`` is a whole address where a proxy is asked."""
        others = dict(headers or {})
        super().request(method, authority_of(url) + others.pop(_TARGET), body, others, **options)


class _ExactTlsTarget(_ExactTarget, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _ExactTarget

    def __init__(self, *arguments: Any, on_new: Callable[[HTTPConnection], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._on_new = on_new

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        self._on_new(connection)
        return connection


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _ExactTlsTarget


class Connections:
    """Sends single requests over kept connections. Safe to share by threads."""

    def __init__(self, registry: str, *, insecure: bool, warn: Callable[[str], None]) -> None:
        self._registry = registry
        self._insecure = insecure
        self._warn = warn
        self._proxies = Proxies.load()
        self._contexts: Contexts | None = None
        self._pools: dict[tuple[str, bool, bool], urllib3.PoolManager] = {}
        self._made: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections. Threads that wait for one get an error at once."""
        with self._lock:
            self._closed = True
            made, pools = list(self._made), list(self._pools.values())
        for connection in made:
            if connection.sock is not None:
                with suppress(OSError):
                    # Not that of SSLSocket, which turns TLS off first: the other thread may be writing.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        for pool in pools:
            pool.clear()

    def _add(self, connection: HTTPConnection) -> None:
        with self._lock:
            self._made.add(connection)

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterator[bytes | memoryview] | None
    ) -> BaseHTTPResponse:
        """Send one request; no redirect is followed. The answer is not read. Raises HTTPError of urllib3."""
        return self._pool(url).urlopen(
            method,
            url,
            redirect=False,
            headers={**headers, _TARGET: request_target(url)},
            body=body,
            preload_content=False,
            decode_content=False,
            retries=False,
        )

    def is_plain(self, url: str) -> bool:
        """Tell whether it is certain that nobody speaks TLS there; nothing is sent but the offer to do so.

        Raises RegistryError where somebody takes connections, and never says anything.
        """
        scheme, host, port = origin_of(url)
        if self._proxies.proxy_for(scheme, host, port):
            return False
        offer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        offer.check_hostname, offer.verify_mode = False, ssl.CERT_NONE  # whoever it is
        try:
            with (
                socket.create_connection((host, port), CONNECT_TIMEOUT) as plain,
                offer.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False) as tls,
            ):
                return not _takes_offer(tls, site_of(url))
        except ssl.SSLError as error:
            return error.reason in _NOT_TLS
        except (OSError, ValueError):
            return False

    def _pool(self, url: str) -> urllib3.PoolManager:
        scheme, host, port = origin_of(url)
        proxy = self._proxies.proxy_for(scheme, host, port)
        is_registry = (host, port) == origin_of(f"{scheme}://{self._registry}")[1:]
        has_tls = "https" in (scheme, proxy.partition(":")[0].lower())
        key = proxy, is_registry, has_tls
        with self._lock:
            if self._closed:
                raise RegistryError("stopped")
            if key not in self._pools:
                self._pools[key] = self._new_pool(proxy, is_registry=is_registry, has_tls=has_tls)
            return self._pools[key]

    def _new_pool(self, proxy: str, *, is_registry: bool, has_tls: bool) -> urllib3.PoolManager:
        if self._insecure:
            urllib3.disable_warnings(http_errors.InsecureRequestWarning)  # the user has asked for it
        options: dict[str, Any] = {
            "maxsize": CONNECTIONS,
            "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
            "cert_reqs": "CERT_NONE" if self._insecure else "CERT_REQUIRED",
            "blocksize": CHUNK_SIZE,
        }
        if has_tls:  # reading the system's authorities takes 10 ms
            contexts = self._tls_contexts()
            options["ssl_context"] = contexts.registry if is_registry else contexts.others
        pool = _proxy_pool(proxy, options) if proxy else urllib3.PoolManager(**options)
        classes: Any = {
            "http": partial(_Pool, on_new=self._add),
            "https": partial(_TlsPool, on_new=self._add),
        }
        pool.pool_classes_by_scheme = classes
        return pool

    def _tls_contexts(self) -> Contexts:
        if self._contexts is None:
            self._contexts = tls_contexts(self._registry, insecure=self._insecure, warn=self._warn)
        return self._contexts


def _takes_offer(tls: ssl.SSLSocket, site: str) -> bool:
    """Go through the handshake. Raises what it fails with, RegistryError where nothing is heard."""
    tls.settimeout(_PATIENCE)
    try:
        tls.do_handshake()
    except TimeoutError:
        # A server of plain HTTP may wait for the end of a line, which an offer of TLS need not have.
        socket.socket.shutdown(tls, socket.SHUT_WR)
        tls.settimeout(CONNECT_TIMEOUT)
        try:
            tls.do_handshake()
        except TimeoutError as error:
            raise RegistryError(
                f"{site} takes connections, but says nothing within {CONNECT_TIMEOUT:.0f} seconds",
                hint="is that the port of a registry?",
            ) from error
    return True


def _proxy_pool(proxy: str, options: Mapping[str, Any]) -> urllib3.PoolManager:
    try:
        login = urllib3.util.parse_url(proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    except (http_errors.ProxySchemeUnknown, http_errors.LocationValueError) as error:
        kind = printable(proxy.partition("://")[0])
        raise RegistryError(
            f"the proxy in HTTPS_PROXY or HTTP_PROXY cannot be used: {kind}://...",
            hint="give the address of an HTTP proxy",
        ) from error
