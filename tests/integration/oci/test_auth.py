"""Logging in: basic and bearer, docker's configuration, credential helpers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import AuthenticationError, RegistryError
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.reference import parse_reference
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.credentials import Credentials
from enclavize.oci.registry.target import RegistryTarget
from enclavize.oci.resolve import resolve
from support.images import build_image, to_write
from support.registry import (
    PASSWORD,
    USERNAME,
    Front,
    TokenFront,
    auth_entry,
    running_registry,
    write_docker_config,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Reporter
    from support.images import BuiltImage
    from support.registry import (
        FrontHandler,
        Registry,
    )

pytestmark = pytest.mark.integration


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Registry]:
    """A registry that wants a password."""
    with running_registry(tmp_path / "locked", htpasswd=True) as running:
        yield running


@pytest.fixture
def front(registry: Registry) -> Iterator[TokenFront]:
    """A registry that wants tokens."""
    with TokenFront(registry.port) as running:
        yield running


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that DOCKER_CONFIG names."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker"


def push_and_pull(host: str, image: BuiltImage, cache: BlobCache, reporter: Reporter) -> None:
    """Do everything once."""
    RegistryTarget().deliver(to_write(image, f"{host}/app:1"), reporter)
    found = resolve(parse_location(f"{host}/app:1"), cache=cache, reporter=reporter)
    for descriptor in found.layers:
        with fetch_blob(found, descriptor, cache) as stream:
            stream.read()
    found.source.close()


def helper_script(folder: Path, name: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a credential helper on the PATH; it writes down what it was asked."""
    folder.mkdir(exist_ok=True)
    script = folder / f"docker-credential-{name}"
    script.write_text(f"#!/bin/sh\ncat > {folder}/asked\n{answer}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "asked"


def test_a_password_of_docker_login_opens_the_registry(
    locked: Registry, docker_config: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    write_docker_config(docker_config, {"auths": {locked.host: auth_entry()}})
    push_and_pull(locked.host, image, cache, reporter)


def test_the_configuration_in_the_home_folder_is_found(
    locked: Registry, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    write_docker_config(Path.home() / ".docker", {"auths": {f"http://{locked.host}/v1/": auth_entry()}})
    push_and_pull(locked.host, image, cache, reporter)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_missing_or_wrong_password_is_told_with_the_command_that_helps(
    locked: Registry, docker_config: Path, image: BuiltImage, reporter: Reporter, password: str | None
) -> None:
    auths = {locked.host: auth_entry(password=password)} if password else {}
    write_docker_config(docker_config, {"auths": auths})
    with pytest.raises(AuthenticationError, match="HTTP status 401") as caught:
        RegistryTarget().deliver(to_write(image, f"{locked.host}/app:1"), reporter)
    assert caught.value.hint == f"log in with: docker login {locked.host}"
    assert caught.value.exit_code == 5
    assert "wrong" not in str(caught.value)


def test_a_credential_helper_is_asked(
    locked: Registry,
    docker_config: Path,
    image: BuiltImage,
    reporter: Reporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = f"""echo '{{"Username": "{USERNAME}", "Secret": "{PASSWORD}"}}'"""
    asked = helper_script(docker_config, "test", answer, monkeypatch)
    write_docker_config(docker_config, {"credHelpers": {locked.host: "test"}, "credsStore": "absent"})
    RegistryTarget().deliver(to_write(image, f"{locked.host}/app:1"), reporter)
    assert asked.read_text() == locked.host


@pytest.mark.parametrize(
    ("key", "members"),
    [
        ("https://{host}", {"credsStore": "test", "auths": {"https://{host}": {}}}),
        ("https://{host}/v1/", {"credsStore": "test", "auths": {"https://{host}/v1/": {}}}),
        ("https://{host}", {"credHelpers": {"https://{host}": "test"}, "auths": {"https://{host}": {}}}),
        ("{host}", {"credHelpers": {"https://{host}/v2/": "test"}, "credsStore": "absent"}),
    ],
)
def test_a_helper_is_asked_under_the_keys_that_docker_login_has_noted(
    locked: Registry,
    docker_config: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    members: dict[str, Any],
) -> None:
    answer = (
        f"""if [ "$(cat {docker_config}/asked)" = "{key.format(host=locked.host)}" ]; then """
        f"""echo '{{"Username": "{USERNAME}", "Secret": "{PASSWORD}"}}'; else """
        "echo 'credentials not found in native keychain'; exit 1; fi"
    )
    helper_script(docker_config, "test", answer, monkeypatch)
    write_docker_config(docker_config, json.loads(json.dumps(members).replace("{host}", locked.host)))
    client = RegistryClient(locked.host)
    assert not client.has_manifest("app", "1")
    client.close()


def test_a_store_without_an_entry_falls_back_to_the_file(
    locked: Registry,
    docker_config: Path,
    image: BuiltImage,
    reporter: Reporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helper_script(
        docker_config, "test", "echo 'credentials not found in native keychain'; exit 1", monkeypatch
    )
    write_docker_config(docker_config, {"credsStore": "test", "auths": {locked.host: auth_entry()}})
    RegistryTarget().deliver(to_write(image, f"{locked.host}/app:1"), reporter)


@pytest.mark.parametrize("answer", ["[]", "null", "7", '{"Secret": "a"}', "[" * 100_000, "\xff"])
def test_a_helper_that_answers_something_else_is_named(
    docker_config: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    helper_script(docker_config, "test", f"cat {docker_config}/answer", monkeypatch)
    (docker_config / "answer").write_text(answer, "latin-1")
    write_docker_config(docker_config, {"credsStore": "test"})
    with pytest.raises(AuthenticationError, match=r"docker-credential-test failed for example\.org"):
        Credentials.load().for_registry("example.org")


def test_a_helper_that_is_not_there_is_named(
    locked: Registry, docker_config: Path, image: BuiltImage, reporter: Reporter
) -> None:
    write_docker_config(docker_config, {"credsStore": "nowhere"})
    with pytest.raises(AuthenticationError, match="docker-credential-nowhere"):
        RegistryTarget().deliver(to_write(image, f"{locked.host}/app:1"), reporter)


def test_tokens_are_fetched_for_each_repository_and_reused(
    front: TokenFront, docker_config: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    write_docker_config(docker_config, {"auths": {front.host: auth_entry()}})
    push_and_pull(front.host, image, cache, reporter)
    target = RegistryTarget()
    origin = parse_reference(f"{front.host}/app:1")
    target.deliver(to_write(image, f"{front.host}/second:1", origin=origin), reporter)
    assert front.count("POST /v2/second/blobs/uploads/?mount=") == 2
    pushes = [line for line, _ in front.requests if line.startswith("GET /token") and "second" in line]
    assert len(pushes) == 2  # push; push with pull of the origin


def test_anonymous_tokens_are_enough_to_pull(
    registry: Registry, front: TokenFront, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), reporter)
    found = resolve(parse_location(f"{front.host}/app:1"), cache=cache, reporter=reporter)
    for descriptor in found.layers:
        with fetch_blob(found, descriptor, cache) as stream:
            stream.read()
    found.source.close()
    assert front.count("GET /token") == 1
    with pytest.raises(AuthenticationError):
        RegistryTarget().deliver(to_write(image, f"{front.host}/app:2"), reporter)


def test_a_token_that_has_ended_is_replaced(
    registry: Registry, front: TokenFront, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), reporter)
    found = resolve(parse_location(f"{front.host}/app:1"), cache=cache, reporter=reporter)
    front.revoke()
    with fetch_blob(found, found.layers[0], cache) as stream:
        stream.read()
    found.source.close()
    assert front.count("GET /token") == 2


def test_an_upload_survives_the_end_of_its_token(
    front: TokenFront, docker_config: Path, image: BuiltImage, reporter: Reporter
) -> None:
    write_docker_config(docker_config, {"auths": {front.host: auth_entry()}})
    check = front.intercept
    revoked: list[str] = []

    def end_before_put(handler: FrontHandler) -> bool:
        if handler.command == "PUT" and (kind := handler.path.split("/")[3]) not in revoked:
            revoked.append(kind)
            front.revoke()
        return check(handler)

    front.intercept = end_before_put
    small = build_image([image.layers[0]])
    RegistryTarget().deliver(to_write(small, f"{front.host}/app:1"), reporter)
    assert revoked == ["blobs", "manifests"]


def test_a_token_is_not_used_when_its_time_is_over(registry: Registry, front: TokenFront) -> None:
    front.expires_in = 1
    client = RegistryClient(front.host)
    assert not client.has_manifest("app", "1")
    time.sleep(1)
    assert not client.has_manifest("app", "1")
    client.close()
    lines = [line.partition("?")[0] for line, _ in front.requests]
    head = "HEAD /v2/app/manifests/1"
    assert lines == [head, "GET /token", head, "GET /token", head]


def test_an_identity_token_is_exchanged(
    front: TokenFront, docker_config: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    entry = {**auth_entry("<token>", ""), "identitytoken": front.IDENTITY}
    write_docker_config(docker_config, {"auths": {front.host: entry}})
    push_and_pull(front.host, image, cache, reporter)
    assert front.count("POST /token") >= 1
    assert front.count("GET /token") == 0


def test_a_wrong_password_at_the_token_service_is_told(
    front: TokenFront, docker_config: Path, image: BuiltImage, reporter: Reporter
) -> None:
    write_docker_config(docker_config, {"auths": {front.host: auth_entry(password="wrong")}})
    with pytest.raises(AuthenticationError, match="does not accept these credentials"):
        RegistryTarget().deliver(to_write(image, f"{front.host}/app:1"), reporter)


def test_a_password_is_not_sent_to_a_token_service_in_the_clear(
    registry: Registry, docker_config: Path, image: BuiltImage, reporter: Reporter
) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="http://tokens.invalid/",service="x"'}
    with Front(registry.port, lambda handler: handler.answer(401, headers=challenge)) as asking:
        write_docker_config(docker_config, {"auths": {asking.host: auth_entry()}})
        with pytest.raises(RegistryError, match="not encrypted"):
            RegistryTarget().deliver(to_write(image, f"{asking.host}/app:1"), reporter)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 7}',
        b'{"token": "a\\r\\nX-Injected: 1"}',
        b'{"token": "\\u00e9"}',
    ],
)
def test_an_answer_that_is_no_token_is_told(registry: Registry, answer: bytes) -> None:
    def ask(handler: FrontHandler) -> bool:
        if handler.path.startswith("/token"):
            return handler.answer(200, answer)
        realm = f'Bearer realm="http://{handler.headers["Host"]}/token"'
        return handler.answer(401, headers={"WWW-Authenticate": realm})

    with Front(registry.port, ask) as asking:
        client = RegistryClient(asking.host)
        with pytest.raises(AuthenticationError, match="gives no token"):
            client.has_manifest("app", "1")
        client.close()


@pytest.mark.parametrize(
    "lifetime", ["null", "0", "-1", "1e3", "300.5", '"300"', '"NaN"', "[]", "99999999999999999999"]
)
def test_a_token_with_a_strange_lifetime_is_a_token(
    registry: Registry, image: BuiltImage, cache: BlobCache, reporter: Reporter, lifetime: str
) -> None:
    RegistryTarget().deliver(to_write(image, f"{registry.host}/app:1"), reporter)
    answer = f'{{"token": "good", "expires_in": {lifetime}, "issued_at": 5, "refresh_token": null}}'.encode()

    def ask(handler: FrontHandler) -> bool:
        if handler.path.startswith("/token"):
            return handler.answer(200, answer)
        if handler.headers.get("Authorization") == "Bearer good":
            return False
        realm = f'Bearer realm="http://{handler.headers["Host"]}/token"'
        return handler.answer(401, headers={"WWW-Authenticate": realm})

    with Front(registry.port, ask) as asking:
        resolve(parse_location(f"{asking.host}/app:1"), cache=cache, reporter=reporter).source.close()
        assert asking.count("GET /token") == 1


@pytest.mark.parametrize(
    "realm", ["http://[::1", "http://localhost:99999/", "//", "ftp://localhost/", "\\x00"]
)
def test_a_token_service_without_a_valid_address_is_told(registry: Registry, realm: str) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}"'}
    with Front(registry.port, lambda handler: handler.answer(401, headers=challenge)) as asking:
        client = RegistryClient(asking.host)
        with pytest.raises(RegistryError):
            client.has_manifest("app", "1")
        client.close()


def test_an_identity_token_does_not_follow_a_redirect_to_another_host(
    registry: Registry, docker_config: Path
) -> None:
    with Front(registry.port) as elsewhere:

        def redirect(handler: FrontHandler) -> bool:
            if handler.path.startswith("/token"):
                return handler.answer(307, headers={"Location": f"http://{elsewhere.host}/token"})
            realm = f'Bearer realm="http://{handler.headers["Host"]}/token"'
            return handler.answer(401, headers={"WWW-Authenticate": realm})

        with Front(registry.port, redirect) as asking:
            entry = {**auth_entry("<token>", ""), "identitytoken": "precious"}
            write_docker_config(docker_config, {"auths": {asking.host: entry}})
            client = RegistryClient(asking.host)
            with pytest.raises(RegistryError, match="wants what is sent to it to go to"):
                client.has_manifest("app", "1")
            client.close()
        assert elsewhere.requests == []
