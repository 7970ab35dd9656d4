"""What sites answer that a registry redirects to never decides where credentials go (CVE-2020-15157)."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import AuthenticationError, EnclavizeError, RegistryError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.media_types import OCI_LAYER, OCI_MANIFEST
from enclavize.oci.referrers import list_referrers
from enclavize.oci.registry import transport
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.credentials import Credentials
from enclavize.oci.registry.upload import push_bytes
from support.registry import PASSWORD, Front, auth_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.registry import FrontHandler

pytestmark = pytest.mark.integration

IDENTITY = "an-identity-token"
TOKEN = "the-registry-s-token"
BLOB = b"a layer"
LAYER = Descriptor(media_type=OCI_LAYER, digest=sha256_digest(BLOB), size=len(BLOB))
GOOD = "/v2/app/manifests/good"
"""What the registry answers itself, to those who have logged in."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_DELAY", 0.001)


@dataclass
class World:
    """An honest registry that sends everything but GOOD elsewhere, a storage site, and one that collects."""

    mode: str
    registry: Front = field(init=False)
    storage: Front = field(init=False)
    collector: Front = field(init=False)
    answer: Callable[[World, FrontHandler], bool] = lambda _world, handler: handler.answer(500)
    redirect: Callable[[World, FrontHandler], str] = lambda world, handler: (
        f"http://{world.storage.host}{handler.path}"
    )
    sent: list[str] = field(default_factory=list)

    def start(self, stack: ExitStack) -> None:
        self.registry = stack.enter_context(Front(0, self._registry))
        self.storage = stack.enter_context(Front(0, lambda handler: self.answer(self, handler)))
        self.collector = stack.enter_context(Front(0, _give_token))

    def _registry(self, handler: FrontHandler) -> bool:
        if handler.path.startswith("/token"):
            return _give_token(handler, TOKEN)
        if not self._is_logged_in(handler.headers.get("Authorization")):
            basic = 'Basic realm="here"'
            bearer = f'Bearer realm="http://{self.registry.host}/token",service="here"'
            return handler.answer(
                401, headers={"WWW-Authenticate": basic if self.mode == "basic" else bearer}
            )
        if handler.path == GOOD:
            return handler.answer(200, b"{}")
        return handler.answer(307, headers={"Location": self.redirect(self, handler)})

    def _is_logged_in(self, authorization: str | None) -> bool:
        match self.mode:
            case "anonymous":
                return True
            case "basic":
                return authorization == f"Basic {auth_entry()['auth']}"
            case _:
                return authorization == f"Bearer {TOKEN}"

    def client(self) -> RegistryClient:
        entry = auth_entry()
        if self.mode == "identity":
            entry = {**auth_entry("<token>", ""), "identitytoken": IDENTITY}
        return RegistryClient(self.registry.host, auth=Credentials({"auths": {self.registry.host: entry}}))

    def check_nothing_leaked(self) -> None:
        """No credential, and no request at all to where a challenge pointed."""
        assert self.collector.requests == []
        secrets = (PASSWORD, IDENTITY, TOKEN, auth_entry()["auth"])
        for line, headers in self.storage.requests:
            assert "Authorization" not in headers
            text = line + json.dumps(headers)
            assert not [secret for secret in secrets if secret in text]


def _give_token(handler: FrontHandler, token: str = "collected") -> bool:
    return handler.answer(200, json.dumps({"token": token, "access_token": token}).encode())


@pytest.fixture(params=["anonymous", "basic", "bearer", "identity"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with ExitStack() as stack:
        made = World(mode=request.param)
        made.start(stack)
        yield made


def bearer(world: World) -> str:
    return f'Bearer realm="http://{world.collector.host}/token",service="x",scope="repository:app:pull"'


def challenge(*headers: Callable[[World], str]) -> Callable[[World, FrontHandler], bool]:
    """A site that answers 401 with these headers, and with their list in one."""

    def answer(world: World, handler: FrontHandler) -> bool:
        texts = ", ".join(make(world) for make in headers)
        return handler.answer(401, headers={"WWW-Authenticate": texts})

    return answer


def onwards(world: World, handler: FrontHandler) -> bool:
    """Redirect once more, to another name of itself, and challenge there."""
    if handler.headers["Host"].startswith("localhost"):
        return challenge(bearer)(world, handler)
    return handler.answer(307, headers={"Location": f"http://localhost:{world.storage.port}{handler.path}"})


def back(world: World, handler: FrontHandler) -> bool:
    """Redirect to the registry, to what only those get who log in."""
    return handler.answer(307, headers={"Location": f"http://{world.registry.host}{GOOD}"})


HOSTILE: dict[str, Callable[[World, FrontHandler], bool]] = {
    "bearer": challenge(bearer),
    "basic": challenge(lambda _world: 'Basic realm="x"'),
    "both": challenge(lambda _world: 'Basic realm="x"', bearer),
    "onwards": onwards,
    "back": back,
    "forbidden": lambda _world, handler: handler.answer(403),
}

OPERATIONS: dict[str, Callable[[RegistryClient], object]] = {
    "GET manifest": lambda client: client.get_manifest("app", "1"),
    "HEAD manifest": lambda client: client.has_manifest("app", "1"),
    "PUT manifest": lambda client: client.put_manifest("app", "1", OCI_MANIFEST, b"{}"),
    "GET blob": lambda client: client.open_blob("app", LAYER).read(),
    "GET the rest of a blob": lambda client: client.get_blob("app", LAYER.digest, "bytes=3-"),
    "HEAD blob": lambda client: client.has_blob("app", LAYER.digest),
    "GET referrers": lambda client: list_referrers(client, "app", LAYER.digest),
    "POST upload": lambda client: client.open_session("app/blobs/uploads/", "", mounts=False),
    "POST mount": lambda client: client.open_session("app/blobs/uploads/?mount=x", "", mounts=True),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_site_that_a_registry_redirects_to_gets_a_credential_or_says_who_does(
    world: World, hostile: str
) -> None:
    world.answer = HOSTILE[hostile]
    client = world.client()
    for operation in OPERATIONS.values():
        for _ in range(2):  # before and after the registry's own challenge is known
            with suppress(EnclavizeError):
                operation(client)
        asked = len(world.registry.requests)
        assert client.has_manifest("app", "good")
        assert len(world.registry.requests) <= asked + 2  # its challenge was not forgotten; a token at most
    client.close()
    world.check_nothing_leaked()
    assert world.storage.requests


@pytest.mark.parametrize("goes_to", ["registry", "collector"])
def test_a_session_that_another_site_opens_is_used_without_credentials(world: World, goes_to: str) -> None:
    """Or that site would choose what is written or deleted with them."""
    front: Front = getattr(world, goes_to)

    def open_session(_world: World, handler: FrontHandler) -> bool:
        if handler.command == "POST":
            return handler.answer(202, headers={"Location": f"http://{front.host}{GOOD}"})
        return handler.answer(404)

    world.answer = open_session
    client = world.client()
    with suppress(EnclavizeError):
        push_bytes(client, "app", LAYER, BLOB)
    client.close()
    session = [item for item in front.requests if item[0].startswith(("PUT", "DELETE"))]
    assert session
    assert not [headers for _, headers in session if "Authorization" in headers]


def test_who_refuses_is_named_and_nobody_is_told_to_log_in_there(world: World) -> None:
    body = b'{"errors":[{"code":"UNAUTHORIZED","message":"log in at http://evil.example"}]}'
    world.answer = lambda _world, handler: handler.answer(401, body)
    client = world.client()
    site = f"{world.storage.host}, where {world.registry.host} redirects to, refused to give"
    with pytest.raises(RegistryError, match=f"{site}.*401") as caught:
        client.get_blob("app", LAYER.digest)
    client.close()
    assert not isinstance(caught.value, AuthenticationError)
    assert "evil" not in str(caught.value)
    assert caught.value.hint is None


def test_a_challenge_after_a_redirect_within_the_registry_is_answered(world: World) -> None:
    world.redirect = lambda world, _handler: f"http://{world.registry.host}{GOOD}"
    client = world.client()
    assert client.has_manifest("app", "moved")
    client.close()


@pytest.mark.parametrize(
    "address",
    [
        # urllib.parse sees the host behind the "@", urllib3 and browsers see the one before it.
        "http://{evil}\\@{registry}{path}",
        "http://{evil}\\\\@{registry}{path}",
        "http://{evil}#@{registry}{path}",
        "http://{evil}?@{registry}{path}",
        "http://{evil}/@{registry}{path}",
        "http://{registry}@{evil}{path}",
        "http://{registry}:x@{evil}{path}",
        "//{evil}\\@{registry}{path}",
        "/\\{evil}{path}",
    ],
)
@pytest.mark.parametrize("world", ["basic"], indirect=True)
def test_no_address_looks_like_the_registry_s_and_leads_elsewhere(world: World, address: str) -> None:
    world.redirect = lambda world, handler: address.format(
        evil=world.storage.host, registry=world.registry.host, path=handler.path
    )
    world.answer = challenge(bearer)
    client = world.client()
    for operation in OPERATIONS.values():
        with suppress(EnclavizeError):
            operation(client)
    client.close()
    world.check_nothing_leaked()


@pytest.mark.parametrize(
    "realm",
    [
        "http://user:password@{collector}/token",
        "http://{registry}@{collector}/token",
        "http://collector.invalid\\\\@{registry}/token",
        "http://collector.invalid/token",
    ],
)
def test_a_token_service_whose_address_is_unclear_or_plain_gets_nothing(realm: str) -> None:
    with ExitStack() as stack:
        collector = stack.enter_context(Front(0, _give_token))

        def ask(handler: FrontHandler) -> bool:
            address = realm.format(collector=collector.host, registry=handler.headers["Host"])
            return handler.answer(401, headers={"WWW-Authenticate": f'Bearer realm="{address}"'})

        registry = stack.enter_context(Front(0, ask))
        client = RegistryClient(registry.host, auth=Credentials({"auths": {registry.host: auth_entry()}}))
        with pytest.raises(RegistryError):
            client.has_manifest("app", "1")
        client.close()
        assert collector.requests == []
        assert not [headers for _, headers in registry.requests if "Authorization" in headers]
