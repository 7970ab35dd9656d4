"""Which proxy is used: as programs in Go, and so docker, read the environment."""

from __future__ import annotations

import pytest

from enclavize.oci.registry.proxies import Proxies


def proxy(no_proxy: str, host: str, port: int = 443, **more: str) -> str:
    """Return the proxy for HTTPS to a host."""
    environment = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy, **more}
    return Proxies.load(environment).proxy_for("https", host, port)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("*", "registry.example", 443),
        ("registry.example", "registry.example", 443),
        ("registry.example", "REGISTRY.example", 443),
        ("Registry.Example", "registry.example", 5000),
        ("registry.example", "deep.in.registry.example", 443),
        (".registry.example", "in.registry.example", 443),
        ("*.registry.example", "in.registry.example", 443),
        ("registry.example:5000", "registry.example", 5000),
        (".example:5000", "registry.example", 5000),
        ("10.1.2.3", "10.1.2.3", 443),
        ("10.1.2.3:5000", "10.1.2.3", 5000),
        ("10.0.0.0/8", "10.1.2.3", 443),
        ("10.1.2.3/8", "10.1.2.3", 443),
        ("192.168.0.0/16, 10.0.0.0/8", "10.1.2.3", 443),
        ("a.example 10.0.0.0/8", "10.1.2.3", 443),
        ("fd00::/8", "fd00::1", 443),
        ("fd00::1", "fd00::1", 443),
        ("[fd00::1]:5000", "fd00::1", 5000),
        (",,registry.example,", "registry.example", 443),
        ("", "localhost", 443),
        ("", "127.0.0.1", 443),
        ("", "127.9.9.9", 443),
        ("", "::1", 443),
    ],
)
def test_what_is_named_is_asked_directly(no_proxy: str, host: str, port: int) -> None:
    assert proxy(no_proxy, host, port) == ""


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("", "registry.example", 443),
        ("registry.example", "other.example", 443),
        ("registry.example", "myregistry.example", 443),
        ("registry.example", "registry.example.org", 443),
        (".registry.example", "registry.example", 443),
        ("*.registry.example", "registry.example", 443),
        ("registry.example:5000", "registry.example", 443),
        ("10.1.2.3:5000", "10.1.2.3", 443),
        ("10.0.0.0/8", "11.1.2.3", 443),
        ("10.0.0.0/8", "registry.example", 443),
        ("10.0.0.0/99", "10.1.2.3", 443),
        (":443", "registry.example", 443),
        ("fd00::/8", "10.1.2.3", 443),
        ("fd00::1", "fd00::2", 443),
    ],
)
def test_everything_else_goes_through_the_proxy(no_proxy: str, host: str, port: int) -> None:
    assert proxy(no_proxy, host, port) == "http://proxy:3128"


def test_names_in_capitals_come_first() -> None:
    assert proxy("", "a.example", https_proxy="http://small") == "http://proxy:3128"
    assert Proxies.load({"https_proxy": "small:1"}).proxy_for("https", "a.example", 443) == "http://small:1"
    found = Proxies.load({"https_proxy": "small:1", "no_proxy": "a.example"})
    assert found.proxy_for("https", "a.example", 443) == ""
    assert found.proxy_for("http", "b.example", 80) == ""


def test_the_header_proxy_of_a_request_is_no_proxy() -> None:
    environment = {"HTTP_PROXY": "http://evil", "HTTPS_PROXY": "http://proxy", "REQUEST_METHOD": "GET"}
    found = Proxies.load(environment)
    assert found.proxy_for("http", "a.example", 80) == ""
    assert found.proxy_for("https", "a.example", 443) == "http://proxy"
