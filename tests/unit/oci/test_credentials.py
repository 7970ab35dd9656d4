"""Docker's configuration, challenges, and who is this machine."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import AuthenticationError
from enclavize.oci.registry.address import is_loopback
from enclavize.oci.registry.auth import Challenge, parse_challenge
from enclavize.oci.registry.credentials import ANONYMOUS, Credential, Credentials
from enclavize.oci.registry.errors import printable

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = {"auth": base64.b64encode(b"user:pass:word").decode()}
EXPECTED = Credential(username="user", password="pass:word")


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("example.com", "example.com"),
        ("https://example.com", "example.com"),
        ("https://example.com/v2/", "example.com"),
        ("http://example.com:5000", "example.com:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
    ],
)
def test_old_and_new_forms_of_a_key_are_found(key: str, registry: str) -> None:
    assert Credentials({"auths": {key: ENTRY}}).for_registry(registry) == EXPECTED


@pytest.mark.parametrize("registry", ["example.org", "example.com.evil.org", "com", "example.com:80"])
def test_a_credential_is_not_given_to_another_registry(registry: str) -> None:
    assert Credentials({"auths": {"example.com": ENTRY}}).for_registry(registry) == ANONYMOUS


def test_the_exact_key_goes_before_an_old_form() -> None:
    auths = {"https://example.com/v1/": {"username": "old"}, "example.com": ENTRY}
    assert Credentials({"auths": auths}).for_registry("example.com") == EXPECTED


@pytest.mark.parametrize(
    "config",
    [
        {"auths": []},
        {"auths": {"example.com": "text"}},
        {"auths": {"example.com": {"auth": "not base64!"}}},
        {"auths": {"example.com": {"auth": base64.b64encode(b"no colon").decode()}}},
        {"credHelpers": {"example.com": 1}},
        {"credsStore": 1},
    ],
)
def test_a_broken_configuration_is_told_without_its_secrets(config: dict[str, Any]) -> None:
    with pytest.raises(AuthenticationError) as caught:
        Credentials(config).for_registry("example.com")
    assert "no colon" not in str(caught.value)


def test_a_credential_does_not_show_itself() -> None:
    assert "secret" not in repr(Credential(username="a", password="secret", identity_token="secret"))


def test_a_configuration_that_is_no_json_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert Credentials.load().for_registry("example.com") == ANONYMOUS
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(AuthenticationError, match=r"config\.json is not valid JSON"):
        Credentials.load()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"example.com": ENTRY}}))
    assert Credentials.load().for_registry("example.com") == EXPECTED


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\n\n"])
def test_line_ends_in_a_base64_text_are_passed_over(ends: str) -> None:
    text = base64.b64encode(b"user:" + b"p" * 100).decode()
    lines = ends.join(text[start : start + 76] for start in range(0, len(text), 76)) + ends
    found = Credentials({"auths": {"example.com": {"auth": lines}}}).for_registry("example.com")
    assert found == Credential(username="user", password="p" * 100)
    with pytest.raises(AuthenticationError, match="is not base64"):
        Credentials({"auths": {"example.com": {"auth": text[:8] + " " + text[8:]}}}).for_registry(
            "example.com"
        )


def test_an_entry_without_a_secret_does_not_hide_another() -> None:
    auths = {"example.com": {}, "https://example.com": ENTRY}
    assert Credentials({"auths": auths}).for_registry("example.com") == EXPECTED


def test_the_secrets_of_the_hubs_web_interface_are_no_credentials() -> None:
    key = "https://index.docker.io/v1/"
    other = {"auth": base64.b64encode(b"x:y").decode()}
    auths = {f"{key}access-token": other, f"{key}refresh-token": other, key: ENTRY}
    assert Credentials({"auths": auths}).for_registry("docker.io") == EXPECTED
    assert Credentials({"auths": {f"{key}access-token": other}}).for_registry("docker.io") == ANONYMOUS


def test_credentials_of_the_environment_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {name: {"username": "file"} for name in ("example.com", "example.org")}})
    )
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"https://example.com/v1/": ENTRY}}))
    credentials = Credentials.load()
    assert credentials.for_registry("example.com") == EXPECTED
    assert credentials.for_registry("example.org") == Credential(username="file")
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", '{"auths": {"secret')
    with pytest.raises(AuthenticationError, match="DOCKER_AUTH_CONFIG is not valid JSON") as caught:
        Credentials.load()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        (["Negotiate"], None),
        (["Bearer"], None),
        (["Basic"], ("basic", "", "", "")),
        (['Basic realm="b", Bearer realm="https://a/",service="s"'], ("bearer", "https://a/", "s", "")),
        (['Bearer realm="https://a/",service="s",  Basic realm="b"'], ("bearer", "https://a/", "s", "")),
        (['Negotiate abc==, Bearer realm="https://a/"'], ("bearer", "https://a/", "", "")),
        (['Bearer realm="https://a/"', 'Bearer realm="https://b/"'], ("bearer", "https://a/", "", "")),
        (['Bearer realm="https://a/", realm="https://b/"'], ("bearer", "https://a/", "", "")),
        (['Basic realm="Bearer realm=https://b/"'], ("basic", "Bearer realm=https://b/", "", "")),
        (['Bearer realm="https://a/'], None),
        (["Digest nonce=x, Bearer"], None),
        (['Basic realm="a b"'], ("basic", "a b", "", "")),
        (["basic realm=plain"], ("basic", "plain", "", "")),
        (
            ['Bearer realm="https://a/t?x=1,2",service="s \\"q\\"",scope="repository:a:pull,push"'],
            ("bearer", "https://a/t?x=1,2", 's "q"', "repository:a:pull,push"),
        ),
        (['Basic realm="b"', 'Bearer realm="https://a/"'], ("bearer", "https://a/", "", "")),
        (['Bearer service="no realm"', 'Basic realm="b"'], ("basic", "b", "", "")),
    ],
)
def test_challenges_are_read(headers: list[str], expected: tuple[str, str, str, str] | None) -> None:
    challenge = parse_challenge(headers)
    if expected is None:
        assert challenge is None
    else:
        scheme, realm, service, scope = expected
        assert challenge == Challenge(scheme=scheme, realm=realm, service=service, scope=scope)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("registry.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_only_this_machine_is_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_text_of_strangers_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc\u202e") == "a [2Jb  c "
    assert len(printable("x" * 10_000)) <= 500
