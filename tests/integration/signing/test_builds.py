"""Builds that are signed by a token, by a service, or by nobody yet."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.signing.keys import public_key_pem
from support.signing_service import Service, certificate_hash
from support.softhsm import PIN, make_softhsm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.command import Command
    from support.softhsm import SoftHsm

pytestmark = pytest.mark.integration


def output(name: str) -> tuple[str, str]:
    return "-o", f"type=oci,tar=false,dest={name}"


def manifest_of(folder: Path) -> str:
    digest: str = json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]
    return digest


@pytest.fixture
def token(tmp_path: Path) -> SoftHsm:
    """Return a token that this process never opens: its library keeps the first configuration it sees."""
    (tmp_path / "hsm").mkdir()
    return make_softhsm(tmp_path / "hsm")


@pytest.fixture
def with_token(command: Command, token: SoftHsm) -> Command:
    """Return the command where the token is, and a file with its PIN."""
    pin = command.base / "pin"
    pin.write_text(f"{PIN}\n")
    pin.chmod(0o600)
    return replace(command, environment=token.environment, separate=True)


def test_a_token_makes_a_key_signs_builds_and_is_trusted(
    with_token: Command, token: SoftHsm, source: str
) -> None:
    uri, pin = token.uri("release"), ("--passphrase-file", "pin")
    made = with_token.run("keygen", uri, "--public-key", "release.pub.pem", *pin)
    build = ("build", source, "--key", uri, "--production")
    with_token.run(*build, *pin, *output("tee"))
    verdict = with_token.run("verify", "oci:tee", "--signer", "release.pub.pem", "--format", "json").stdout
    assert json.loads(verdict)["mrsigner"] in made.stdout
    named = ("-t", "registry.example/app:1", "--image-signature")
    with_token.run(*build, *pin, *named, *output("signed"))
    with_token.run("sign", "image", "oci:signed", "--key", uri, *pin, "--image-name", "registry.example/app")
    with_token.run("verify", "oci:signed", "--signer", "release.pub.pem", "--require-image-signature")
    with_pin_source = f"{uri}?pin-source=file:{with_token.base / 'pin'}"
    again = with_token.run("build", source, "--key", with_pin_source, "--production", *output("again"))
    assert "sign the enclave" not in again.stderr
    assert manifest_of(with_token.base / "again") == manifest_of(with_token.base / "tee")
    for path in (with_token.base / "cache").rglob("*"):
        assert not path.is_file() or PIN.encode() not in path.read_bytes()


def test_a_token_that_refuses_leaves_nothing(with_token: Command, token: SoftHsm, source: str) -> None:
    uri, pin = token.uri("release"), ("--passphrase-file", "pin")
    build = ("build", source, *output("tee"), "--key")
    assert "no private RSA key of this name" in with_token.run(*build, uri, *pin, code=2).stderr
    (with_token.base / "wrong").write_text("0000\n")
    wrong = with_token.run(*build, uri, "--passphrase-file", "wrong", code=4).stderr
    assert "the PIN is wrong" in wrong
    assert "0000" not in wrong
    assert "no terminal" in with_token.run(*build, uri, code=2).stderr
    in_the_uri = with_token.run(*build, f"{uri}?pin-value={PIN}", code=2).stderr
    assert "a PIN does not belong" in in_the_uri
    assert PIN not in in_the_uri
    (with_token.base / "pin").chmod(0o644)
    readable = f"{uri}?pin-source={with_token.base / 'pin'}"
    assert "every user" in with_token.run(*build, readable, code=2).stderr
    assert "No signer is installed" in with_token.run(*build, "vault:key", code=2).stderr
    assert not (with_token.base / "tee").exists()


def test_keys_in_tokens_are_never_overwritten(with_token: Command, token: SoftHsm) -> None:
    keygen = ("keygen", token.uri("release"), "--passphrase-file", "pin")
    (with_token.base / "pub.pem").write_text("somebody's")
    assert "never overwritten" in with_token.run(*keygen, "--public-key", "pub.pem", code=2).stderr
    assert "no folder" in with_token.run(*keygen, "--public-key", "no/pub.pem", code=2).stderr
    with_token.run(*keygen)
    assert "never overwritten" in with_token.run(*keygen, code=2).stderr
    assert (with_token.base / "pub.pem").read_text() == "somebody's"
    assert "for keys in tokens" in with_token.run("keygen", "k.pem", "--public-key", "p.pem", code=2).stderr


PLUG_IN = """
from pathlib import Path
from enclavize.signing.local import LocalSigner

def open_key(reference, passphrase):
    assert passphrase() == b"open sesame"
    return LocalSigner.from_file(Path(reference.removeprefix("vault:")))
"""


def test_an_installed_plug_in_signs(command: Command, source: str) -> None:
    command.run("keygen", "key.pem")
    package = command.base / "site"
    (package / "vault-1.dist-info").mkdir(parents=True)
    (package / "vault.py").write_text(PLUG_IN)
    (package / "vault-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: vault\nVersion: 1\n")
    (package / "vault-1.dist-info/entry_points.txt").write_text(
        "[enclavize.signers]\nvault = vault:open_key\n"
    )
    environment = {"PYTHONPATH": str(package), "SECRET": "open sesame"}
    with_plug_in = replace(command, environment=environment, separate=True)
    key = ("--key", "vault:key.pem", "--passphrase-env", "SECRET")
    with_plug_in.run("build", source, *key, *output("tee"))
    command.run("verify", "oci:tee", "--signer", "key.pub.pem")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service that signs product 3 only for one client, and anything for another."""
    folder = tmp_path_factory.mktemp("service")
    images = ["registry.example/team/*"]
    clients: dict[str, dict[str, Any]] = {"ci": {"product_ids": [3], "images": images}, "certified": {}}
    keys = {"main": {"key": "main.pem"}, "second": {"key": "second.pem"}}
    running = Service(folder=folder, clients=clients, keys=keys, server={"client_ca": "ca.pem"})
    running.prepare()
    certificates = [certificate_hash(folder / "client.pem")]
    clients["certified"] = {"key": "second", "token_sha256": [], "certificate_sha256": certificates}
    running.start()
    yield running
    assert running.stop() == 0
    assert "Traceback" not in (folder / "log").read_text()


def asks(service: Service, **changed: object) -> tuple[str, ...]:
    given = {
        "signer": service.url,
        "signer-token-file": service.folder / "ci.token",
        "signer-ca": service.ca,
        **changed,
    }
    return tuple(str(word) for name, value in given.items() if value for word in (f"--{name}", value))


def test_a_service_signs_what_a_key_file_would(command: Command, service: Service, source: str) -> None:
    (command.base / "pub.pem").write_bytes(public_key_pem(service.client("ci").public_key))
    build = ("build", source, "--isvprodid", "3", "--production")
    command.run(*build, *asks(service), *output("tee"))
    entry = service.audit()[-1]
    command.run("verify", "oci:tee", "--signer", "pub.pem", "--mrenclave", entry["mrenclave"])
    command.run(*build, "--key", str(service.folder / "main.pem"), "--no-cache", *output("by-key"))
    assert manifest_of(command.base / "tee") == manifest_of(command.base / "by-key")
    signed = len(service.audit())
    command.run(*build, *asks(service), *output("again"))
    assert manifest_of(command.base / "again") == manifest_of(command.base / "tee")
    assert len(service.audit()) == signed


def test_a_service_signs_the_image_too_if_the_client_may(
    command: Command, service: Service, source: str
) -> None:
    (command.base / "pub.pem").write_bytes(public_key_pem(service.client("ci").public_key))
    build = ("build", source, "--isvprodid", "3", "--image-signature", *asks(service))
    refused = command.run(*build, "-t", "registry.example/other:1", *output("tee"), code=4).stderr
    assert "the image name registry.example/other is not allowed" in refused
    assert not (command.base / "tee").exists()
    command.run(*build, "-t", "registry.example/team/app:1", *output("tee"))
    entry = service.audit()[-1]
    assert (entry["operation"], entry["event"]) == ("image", "signed")
    assert (entry["image"], entry["digest"]) == (
        "registry.example/team/app",
        manifest_of(command.base / "tee"),
    )
    command.run("verify", "oci:tee", "--signer", "pub.pem", "--require-image-signature")
    command.run("build", source, "--key", str(service.folder / "second.pem"), *output("later"))
    sign = ("sign", "image", "oci:later", *asks(service), "--image-name", "registry.example/team/later")
    command.run(*sign)
    by_both = ("--signer", str(service.folder / "second.pub.pem"), "--image-signer", "pub.pem")
    command.run("verify", "oci:later", *by_both)


def test_a_service_knows_its_client_by_certificate(command: Command, service: Service, source: str) -> None:
    certificate = {"signer-token-file": "", "signer-certificate": service.folder / "client.pem"}
    command.run("build", source, *asks(service, **certificate), *output("tee"))
    assert (service.audit()[-1]["event"], service.audit()[-1]["client"]) == ("signed", "certified")
    command.run("verify", "oci:tee", "--signer", str(service.folder / "second.pub.pem"))


def test_what_a_service_refuses_is_not_delivered(command: Command, service: Service, source: str) -> None:
    build = ("build", source, *output("tee"))
    refused = command.run(*build, *asks(service), code=4).stderr
    assert "status 403" in refused
    assert "product" in refused
    stranger = command.base / "stranger"
    stranger.write_text("somebody\n")
    stranger.chmod(0o600)
    unknown = command.run(*build, *asks(service, **{"signer-token-file": stranger}), code=5).stderr
    assert "status 401" in unknown
    assert "somebody" not in unknown
    assert "TLS" in command.run(*build, *asks(service, **{"signer-ca": ""}), code=5).stderr
    assert "must be https" in command.run(*build, *asks(service, signer="http://127.0.0.1"), code=2).stderr
    stranger.chmod(0o644)
    readable = asks(service, **{"signer-token-file": stranger})
    assert "every user" in command.run(*build, *readable, code=2).stderr
    assert not (command.base / "tee").exists()


def test_a_service_that_is_not_there_is_an_error_of_the_network(
    command: Command, service: Service, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclavize.signing.remote.FIRST_DELAY", 0.0)
    nobody = asks(service, signer="https://127.0.0.1:1")
    assert "cannot be reached" in command.run("build", source, *output("tee"), *nobody, code=5).stderr


def test_production_wants_a_signer(command: Command, source: str) -> None:
    assert "--signer" in command.run("build", source, *output("tee"), "--production", code=2).stderr
    assert (
        "contradict"
        in command.run("build", source, *output("tee"), "--key", "k.pem", "--unsigned", code=2).stderr
    )
