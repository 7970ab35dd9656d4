"""Registries behind an HTTP proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.errors import RegistryError
from enclavize.oci.registry.client import RegistryClient
from support.registry import Front

if TYPE_CHECKING:
    from support.registry import FrontHandler

pytestmark = pytest.mark.integration

REGISTRY = "registry.invalid:5000"


@pytest.fixture(autouse=True)
def _no_other_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answer(handler: FrontHandler) -> bool:
    """Be a proxy that speaks for the registry, which has a redirect, and no TLS."""
    if handler.command == "CONNECT":
        return handler.answer(502)
    if "/blobs/" in handler.path:
        return handler.answer(307, headers={"Location": "/s/x%2fy?sig=a%2bb"})
    return handler.answer(200, b"{}")


def test_a_proxy_is_given_whole_addresses_word_for_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with Front(0, answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass%40word@{proxy.host}")
        monkeypatch.setenv("HTTPS_PROXY", proxy.host)
        client = RegistryClient(REGISTRY, insecure=True)
        client.get_document("a/blobs/x", "a", "application/json", 100)
        client.close()
    lines = [line for line, _ in proxy.requests]
    assert lines == [
        f"CONNECT {REGISTRY}",
        f"GET http://{REGISTRY}/v2/a/blobs/x",
        f"GET http://{REGISTRY}/s/x%2fy?sig=a%2bb",
    ]
    assert proxy.requests[1][1]["proxy-authorization"] == "Basic dXNlcjpwYXNzQHdvcmQ="


def test_a_registry_that_no_proxy_names_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    with Front(0, answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.host)
        monkeypatch.setenv("NO_PROXY", REGISTRY)
        with pytest.raises(RegistryError, match=r"registry\.invalid"):
            RegistryClient(REGISTRY).get_manifest("a", "1")
        assert proxy.requests == []


@pytest.mark.parametrize("address", ["socks5://secret@127.0.0.1:1", "ftp://secret@127.0.0.1", "http://[::1"])
def test_a_proxy_of_another_kind_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(RegistryError, match=r"the proxy .* cannot be used") as caught:
        RegistryClient(REGISTRY).get_manifest("a", "1")
    assert "secret" not in str(caught.value)
