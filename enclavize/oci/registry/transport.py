"""HTTP below the client: connections, proxies, redirects, time limits, repetition."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from urllib3 import exceptions as http_errors

from enclavize import __version__
from enclavize.errors import RegistryError
from enclavize.oci.reference import DOCKER_HUB
from enclavize.oci.registry.address import is_loopback, join_url, origin_of, site_of
from enclavize.oci.registry.connections import Connections
from enclavize.oci.registry.errors import TransientError, printable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

ATTEMPTS = 5
FIRST_DELAY = 0.25
MAX_DELAY = 60.0
"""Seconds between attempts; also a bound on what a Retry-After header can ask for."""

MAX_REDIRECTS = 5
MAX_WARNINGS = 100

DOCKER_HUB_HOST = "registry-1.docker.io"

Body = Callable[[], Iterator[bytes | memoryview]]
"""Starts the body anew each time it is called, so that a request can be sent again."""

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request. ``scope`` is the access that it takes, for example ``repository:a/b:pull``.

    ``anonymous`` ones never get credentials: somebody else than the registry has chosen the address.
    """

    method: Method
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Body | None = None
    scope: str = ""
    anonymous: bool = False

    def with_header(self, name: str, value: str) -> Request:
        """Return the request with one more header."""
        return replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request led to. ``url`` is the last one that was asked, after redirects.

    ``is_foreign`` tells that they led to another origin than the one that was asked first, be it on the way
    only: what such an answer says is not the registry's word.
    """

    response: BaseHTTPResponse
    url: str
    is_foreign: bool


class Transport:
    """Sends requests. Answers are not read, so that bodies can be streamed. Safe to share by threads."""

    def __init__(
        self, registry: str, *, insecure: bool = False, warn: Callable[[str], None] | None = None
    ) -> None:
        self._insecure = insecure
        self._warn = warn or (lambda _text: None)
        self._warned: set[str] = set()
        self._host = DOCKER_HUB_HOST if registry == DOCKER_HUB else registry
        self._connections = Connections(self._host, insecure=insecure, warn=self.warn)
        self._closed = threading.Event()

    def close(self) -> None:
        """Close all connections. What is under way in other threads ends at once, with an error."""
        self._closed.set()
        self._connections.close()

    def repeated(self, action: Callable[[], Result]) -> Result:
        """Do something that may be done twice; do it again after transient errors, ever later."""
        for attempt in range(ATTEMPTS - 1):
            try:
                return action()
            except TransientError as error:
                if self._closed.wait(delay_after(attempt, error)):
                    raise
        return action()

    def warn(self, text: str) -> None:
        """Show a warning, each once."""
        if text not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(text)
            self._warn(text)

    def base_url(self) -> str:
        """Return ``https://host`` or ``http://host``.

        Only this machine, or any registry with ``insecure``, may speak plain HTTP. Those are asked for TLS
        first, because both kinds exist.
        """
        url = f"https://{self._host}"
        _, name, _ = origin_of(url)
        if not (self._insecure or is_loopback(name)):
            return url
        if self._connections.is_plain(url):  # told without the system's authorities, which take 10 ms to read
            return f"http://{self._host}"
        try:
            self.send(Request(method="GET", url=f"{url}/v2/")).response.close()
        except _CertificateError:
            raise
        except RegistryError:  # what there is to say about the other side will be said over HTTP
            return f"http://{self._host}"
        return url

    def send(self, request: Request) -> Answer:
        """Send a request and follow redirects. Raises RegistryError where there is no answer at all."""
        first, is_foreign = origin_of(request.url), False
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send_once(request)
            target = response.get_redirect_location()
            if not target or (request.method not in ("GET", "HEAD") and response.status not in (307, 308)):
                return Answer(response=response, url=request.url, is_foreign=is_foreign)
            response.close()
            request = self._redirected(request, join_url(request.url, target))
            is_foreign = is_foreign or origin_of(request.url) != first
        raise RegistryError(f"{site_of(request.url)} redirects more than {MAX_REDIRECTS} times")

    def check_url(self, url: str, source: str) -> None:
        """Refuse an address that ``source`` may not send us to: no HTTP, plain HTTP over the network or from
        a site with TLS.
        """
        scheme, host, _ = origin_of(url)
        may_be_plain = self._insecure or (is_loopback(host) and origin_of(source)[0] == "http")
        if scheme == "https" or (scheme == "http" and may_be_plain):
            return
        raise RegistryError(
            f"the registry points to {printable(scheme)}://{site_of(url)}, which is not encrypted",
            hint="--insecure allows plain HTTP",
        )

    def _redirected(self, request: Request, url: str) -> Request:
        self.check_url(url, request.url)
        headers = request.headers
        if origin_of(url) != origin_of(request.url):  # credentials are for the registry alone
            if request.body:  # and it may hold one
                raise RegistryError(
                    f"{site_of(request.url)} wants what is sent to it to go to {site_of(url)}"
                )
            headers = {name: value for name, value in headers.items() if name != "Authorization"}
        return replace(request, url=url, headers=headers)

    def _send_once(self, request: Request) -> BaseHTTPResponse:
        site = site_of(request.url)
        try:
            response = self._connections.send(
                request.method,
                request.url,
                {"User-Agent": f"enclavize/{__version__}", **request.headers},
                request.body() if request.body else None,
            )
        except http_errors.SSLError as error:
            raise _tls_error(site, error) from error
        except (http_errors.NameResolutionError, http_errors.LocationValueError) as error:
            raise RegistryError(f"cannot find {site}: {_reason(error)}", hint="check the name") from error
        except http_errors.NewConnectionError as error:
            hint = "is the registry running, and the name right?"
            raise RegistryError(f"cannot connect to {site}: {_reason(error)}", hint=hint) from error
        except http_errors.HTTPError as error:
            raise TransientError(f"no answer from {site}: {_reason(error)}") from error
        self._show_warnings(response)
        return response

    def _show_warnings(self, response: BaseHTTPResponse) -> None:
        """Show ``Warning: 299 - "text"`` headers once each (distribution-spec, "Warnings")."""
        for value in response.headers.getlist("Warning"):
            if value.startswith("299 - "):
                self.warn(printable(value.removeprefix("299 - ").strip('"')))


class _CertificateError(RegistryError):
    """The other side speaks TLS, but nobody vouches for it."""


def _tls_error(site: str, error: http_errors.SSLError) -> RegistryError:
    text = _reason(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _CertificateError(
            f"the certificate of {site} is not trusted: {text}",
            hint=f"put its authority into /etc/docker/certs.d/{site}/ca.crt or SSL_CERT_FILE, "
            "or use --insecure",
        )
    return RegistryError(
        f"{site} does not speak TLS: {text}", hint="--insecure allows plain HTTP for this registry"
    )


def _reason(error: Exception) -> str:
    """Return the innermost reason, without object addresses."""
    while (inner := getattr(error, "reason", None)) and isinstance(inner, Exception):
        error = inner
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return printable(str(error).rpartition(">: ")[2] or type(error).__name__)


def delay_after(attempt: int, error: TransientError) -> float:
    """Return how many seconds to wait: longer each time, with jitter, and as long as was asked for."""
    delay: float = FIRST_DELAY * 3**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret
    return min(max(delay, error.retry_after or 0.0), MAX_DELAY)
