"""Which proxy an address is asked through: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as programs in Go read them.

Source: golang.org/x/net/http/httpproxy. NO_PROXY may name hosts (with their subdomains), ``.domain`` (those
alone), addresses and networks (10.0.0.0/8), with a port or without, and ``*``. Python's own
``proxy_bypass`` knows neither networks nor ports.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.oci.registry.address import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([^:]*)")


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """The proxies by scheme, and where none is used."""

    by_scheme: Mapping[str, str]
    exceptions: tuple[str, ...]

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Proxies:
        """Read the environment; names in capitals come first."""

        def variable(name: str) -> str:
            return environment.get(name.upper()) or environment.get(name.lower()) or ""

        by_scheme = {scheme: variable(f"{scheme}_proxy") for scheme in ("http", "https")}
        if "REQUEST_METHOD" in environment:  # of a CGI script: whoever asks it could set HTTP_PROXY
            by_scheme["http"] = ""
        return cls(by_scheme=by_scheme, exceptions=tuple(re.split(r"[,\s]+", variable("no_proxy").lower())))

    def proxy_for(self, scheme: str, host: str, port: int | None) -> str:
        """Return the address of the proxy, "" for none. ``host`` has no brackets."""
        proxy = self.by_scheme.get(scheme, "")
        if not proxy or is_loopback(host):
            return ""
        if any(_matches(exception, host.lower(), str(port)) for exception in self.exceptions):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"


def _matches(exception: str, host: str, port: str) -> bool:
    if exception == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    except ValueError:  # one of both is a name, or there is a port
        pass
    wanted_port = ""
    if found := _HOST_AND_PORT.fullmatch(exception):
        exception, wanted_port = found[1] or found[2], found[3]
    if not exception or wanted_port not in ("", port):
        return False
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(exception)
    except ValueError:
        pass
    domain = exception.removeprefix("*")
    return host == domain or host.endswith(domain if domain.startswith(".") else f".{domain}")
