"""Addresses that registries point to: one reading of where they lead, and no way down from TLS."""

from __future__ import annotations

from contextlib import suppress

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.errors import RegistryError
from enclavize.oci.registry.address import join_url, origin_of, request_target
from enclavize.oci.registry.transport import Transport
from support.scale import scaled

VISIBLE = {chr(code) for code in range(0x21, 0x7F)}

BASE = "https://registry.example/v2/"

pieces = st.sampled_from(
    ["http:", "https:", "//", "/", "\\", "@", ":", "#", "?", "%", "%2f", "%40", "[", "]", "[::1]", ":443",
     ":80", "registry.example", "REGISTRY.example", "evil.example", "127.0.0.1", "localhost", ".", "\t", "\n",
     " ", "\0", "\u3002", "\u2100", "\xe9", "x", ";", ",", "\x1b"]
)  # fmt: skip


@settings(max_examples=scaled(40_000, least=500), deadline=None)
@given(st.lists(pieces, max_size=9).map("".join))
def test_credentials_are_bound_to_where_the_connection_goes(location: str) -> None:
    """The address is either refused, or its origin is where urllib3 connects to."""
    with suppress(RegistryError):
        url = join_url(BASE, location)
        scheme, host, port = origin_of(url)
        if scheme not in ("http", "https"):  # which is refused before it is asked
            return
        with suppress(urllib3.exceptions.HTTPError):
            pool = urllib3.PoolManager().connection_from_url(url)
            assert (pool.scheme, (pool.host or "").strip("[]"), pool.port) == (scheme, host, port)
        target = request_target(url)
        assert target.startswith("/")
        assert {*target} <= VISIBLE - {"#"}


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://registry.example/", ("https", "registry.example", 443)),
        ("https://REGISTRY.example:443/x", ("https", "registry.example", 443)),
        ("http://[::1]:5000", ("http", "::1", 5000)),
        ("https://evil.example\\@registry.example/", ("https", "evil.example", 443)),
        ("https://evil.example#@registry.example/", ("https", "evil.example", 443)),
        ("file:///etc/passwd", ("file", "", None)),
    ],
)
def test_the_origin_of_an_address(url: str, origin: tuple[str, str, int | None]) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://user:password@registry.example/",
        "https://registry.example@evil.example/",
        "https://[::1/",
        "https://registry.example:99999/",
        "https://registry\t.example/",
        "https://registry.example\n.evil.example/",
    ],
)
def test_an_address_that_is_unclear_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(RegistryError) as caught:
        origin_of(url)
    assert "password" not in str(caught.value)


LOCAL, REMOTE = "127.0.0.1:1", "registry.example"


@pytest.mark.parametrize(
    ("source", "target", "insecure", "allowed"),
    [
        (f"https://{REMOTE}", f"https://{LOCAL}", False, True),
        (f"https://{REMOTE}", f"http://{REMOTE}", False, False),
        (f"https://{REMOTE}", f"http://{LOCAL}", False, False),
        (f"https://{LOCAL}", f"http://{LOCAL}", False, False),
        (f"http://{LOCAL}", f"http://{LOCAL}", False, True),
        (f"http://{LOCAL}", f"http://{REMOTE}", False, False),
        (f"https://{REMOTE}", f"http://{REMOTE}", True, True),
        (f"http://{REMOTE}", f"http://{LOCAL}", True, True),
        (f"https://{REMOTE}", "ftp://registry.example", True, False),
        (f"http://{LOCAL}", "http://evil.example\\@127.0.0.1:1", False, False),
    ],
)
def test_no_site_with_tls_leads_to_one_without(
    source: str, target: str, insecure: bool, allowed: bool
) -> None:
    transport = Transport("registry.example", insecure=insecure)
    if allowed:
        transport.check_url(target, source)
    else:
        with pytest.raises(RegistryError, match="not encrypted"):
            transport.check_url(target, source)
