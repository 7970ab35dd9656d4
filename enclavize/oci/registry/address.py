"""Addresses that registries name: who is asked, and with which words.

urllib3 reads an address, as it does when it connects: another parser may see another host. What stands behind
the host goes out as it was given, since it may be signed: percent-encodings must stay as they are, in their
own case (RFC 3986, 6.2.2.1, would allow to change it).
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from urllib.parse import urljoin

import urllib3

from enclavize.errors import RegistryError
from enclavize.oci.registry.errors import printable

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\\/?#]*")
"""As in urllib3, util/url.py: for it, a backslash ends the authority."""
_NOT_IN_PATH = re.compile(rb"[^\x21-\x7e]|[\"<>\\^`{|}]")
_NOT_IN_QUERY = re.compile(rb"[^\x21-\x7e]")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port: what credentials are bound to. Raises RegistryError.

    A password in an address is refused, nobody would know who is to have it (``https://one\\@other/``).
    """
    try:
        parts = urllib3.util.parse_url(url)
    except ValueError as error:
        raise RegistryError(f"{printable(url)} is not a valid address: {printable(str(error))}") from error
    if parts.auth is not None:
        raise RegistryError(f"an address with a user name in it is refused: {printable(parts.host or '')}")
    scheme = parts.scheme or ""
    port = parts.port or {"https": 443, "http": 80}.get(scheme)
    return scheme, (parts.host or "").removeprefix("[").removesuffix("]"), port


def join_url(base: str, location: str) -> str:
    """Return the URL that a Location header means, relative or not. Raises RegistryError if it is none.

    Python takes the bytes of headers for Latin-1.
    """
    with suppress(UnicodeEncodeError):
        location = location.encode("latin-1").decode("utf-8", "surrogateescape")
    try:
        url = location if _AUTHORITY.match(location) else urljoin(base, location)
    except ValueError as error:
        raise RegistryError(f"{printable(location)} is not a valid address: {error}") from error
    origin_of(url)
    return url


def authority_of(url: str) -> str:
    """Return the part of an address that is before its path, "" if it has none."""
    found = _AUTHORITY.match(url)
    return found[0] if found else ""


def request_target(url: str) -> str:
    """Return path and query of an address as they stand there; what HTTP has no room for is encoded."""
    rest = url.removeprefix(authority_of(url)).partition("#")[0]
    path, question_mark, query = rest.partition("?")
    if not path.startswith("/"):
        path = f"/{path}"
    return _encoded(path, _NOT_IN_PATH) + question_mark + _encoded(query, _NOT_IN_QUERY)


def site_of(url: str) -> str:
    """Return the host and port of an address, for messages."""
    return printable(urllib3.util.parse_url(url).netloc or url)


def _encoded(text: str, forbidden: re.Pattern[bytes]) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return forbidden.sub(lambda found: b"%%%02X" % found[0][0], data).decode("ascii")
