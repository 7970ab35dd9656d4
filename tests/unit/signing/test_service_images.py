"""The service signs images for those who may, builds what it signs, and no SIGSTRUCT comes out of it."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.errors import IntegrityError, SigningRefusedError, UsageError
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.image_keys import is_signed_by
from enclavize.signing.image_payload import build_payload
from enclavize.signing.service.audit import AuditLog
from enclavize.signing.service.config import Client, load_config
from enclavize.signing.service.core import RefusedError, SigningService
from enclavize.signing.service.image_policy import ImagePolicy, is_pattern
from enclavize.signing.service.policy import SigningPolicy
from enclavize.signing.service.protocol import build_image_request, parse_answer, parse_image_request
from support.scale import scaled
from support.vectors import INTEL, signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MATERIAL = (INTEL / "cases/kss/gendata.bin").read_bytes()
NAME, DIGEST = "registry.example/team/app", f"sha256:{'6' * 64}"
NOTHING = SigningPolicy(measurements=frozenset(), product_ids=frozenset())
CLIENT = Client(
    name="client", key="key", token_hashes=frozenset(), certificate_hashes=frozenset(), policy=NOTHING,
    requests_per_minute=1, images=ImagePolicy(names=frozenset({"registry.example/team/*"})),
)  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditLog]:
    made = AuditLog(tmp_path_factory.mktemp("service") / "audit.jsonl")
    yield made
    made.close()


@pytest.fixture(scope="module")
def service(log: AuditLog) -> Iterator[SigningService]:
    made = SigningService({"key": signer()}, log)
    yield made
    made.close()


def last_line(log: AuditLog) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(log.path.read_bytes().splitlines()[-1])
    return line


def ask(service: SigningService, body: bytes, client: Client = CLIENT) -> bytes:
    return asyncio.run(service.sign_image(client, body, {"request": "x"}))


def test_an_image_is_signed_and_logged(service: SigningService, log: AuditLog) -> None:
    answer = ask(service, build_image_request(NAME, DIGEST))
    signature, pem = parse_answer(answer)
    assert pem == service.public_key(CLIENT)
    payload = build_payload(NAME, DIGEST)
    assert base64.b64decode(json.loads(answer)["payload"]) == payload
    assert is_signed_by(signer().public_key, payload, signature)
    line = last_line(log)
    facts = {key: line[key] for key in ("event", "operation", "client", "key", "image", "digest", "request")}
    assert facts == {
        "event": "signed", "operation": "image", "client": "client", "key": "key", "image": NAME,
        "digest": DIGEST, "request": "x",
    }  # fmt: skip
    assert len(line["signature_sha256"]) == 64


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (frozenset(), "may not sign images"),
        (frozenset({"registry.example/other/*"}), f"the image name {NAME} is not allowed"),
        (frozenset({"registry.example/team/app/*", "registry.example/team/ap"}), "not allowed"),
    ],
)
def test_what_a_client_may_not_sign_is_refused(
    service: SigningService, log: AuditLog, names: frozenset[str], reason: str
) -> None:
    client = replace(CLIENT, images=ImagePolicy(names=names))
    with pytest.raises(RefusedError) as refusal:
        ask(service, build_image_request(NAME, DIGEST), client)
    assert refusal.value.status == HTTPStatus.FORBIDDEN
    assert reason in refusal.value.reason
    assert (last_line(log)["event"], last_line(log)["image"]) == ("refused", NAME)


def test_the_permission_for_images_is_none_for_enclaves(service: SigningService) -> None:
    with pytest.raises(RefusedError) as refusal:
        asyncio.run(service.sign(CLIENT, MATERIAL, {}))
    assert refusal.value.status == HTTPStatus.FORBIDDEN


def test_a_key_that_fails_is_a_refusal(log: AuditLog) -> None:
    class Broken(type(signer())):  # type: ignore[misc]
        def sign_image(self, name: str, digest: str) -> bytes:
            raise SigningRefusedError(f"unplugged at {name}@{digest}")

    made = SigningService({"key": Broken(signer()._key)}, log)
    with pytest.raises(RefusedError) as refusal:
        ask(made, build_image_request(NAME, DIGEST))
    assert (refusal.value.status, refusal.value.reason) == (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the key cannot be used now",
    )
    assert last_line(log)["event"] == "failed"
    made.close()


texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [NAME, DIGEST, MATERIAL.decode("latin-1"), MATERIAL.hex(), f"{NAME}:1", f"{NAME}\n", "app"]
    ),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=5,
)
bodies = st.one_of(
    st.binary(max_size=300),
    st.just(MATERIAL),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"name": texts | values, "digest": texts | values}, optional={"data": texts}).map(
        lambda value: json.dumps(value).encode()
    ),
    st.builds(
        build_image_request,
        st.just(NAME),
        st.binary(min_size=32, max_size=32).map(lambda b: f"sha256:{b.hex()}"),
    ),
)


@settings(max_examples=scaled(4000, least=60), deadline=None)
@given(bodies)
def test_no_request_makes_the_service_sign_what_a_client_chose(
    service: SigningService, log: AuditLog, body: bytes
) -> None:
    """Everything may be signed here, and what is signed is a payload: never a SIGSTRUCT."""
    client = replace(CLIENT, images=ImagePolicy(names=None))
    try:
        answer = ask(service, body, client)
    except RefusedError:
        assert last_line(log)["event"] == "refused"
        return
    signature, _ = parse_answer(answer)
    payload = build_payload(*parse_image_request(body))
    assert is_signed_by(signer().public_key, payload, signature)
    with pytest.raises(IntegrityError):
        Sigstruct.from_signed_bytes(payload)
    with pytest.raises(IntegrityError):
        Sigstruct.from_signed_bytes(MATERIAL).with_signature(signature, signer().public_key)


@settings(max_examples=scaled(1000, least=30), deadline=None)
@given(
    st.builds(build_payload, st.just(NAME), st.just(DIGEST)).flatmap(
        lambda payload: st.sampled_from([payload, payload[:256], payload.ljust(256), payload[-256:]])
    )
)
def test_the_other_operation_signs_no_payload(service: SigningService, body: bytes) -> None:
    client = replace(CLIENT, policy=SigningPolicy(measurements=None, product_ids=None))
    with pytest.raises(RefusedError) as refusal:
        asyncio.run(service.sign(client, body, {}))
    assert refusal.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (NAME, True),
        ("registry.example/*", True),
        ("registry.example:5000/team/*", True),
        ("docker.io/*", True),
        ("docker.io/library/app", True),
        ("docker.io/app", False),
        ("team/*", False),
        ("app", False),
        ("*", False),
        ("/*", False),
        ("registry.example/team*", False),
        ("registry.example/*/app", False),
        (f"{NAME}:tag", False),
        (f"{NAME}@{DIGEST}", False),
        ("", False),
        ("registry.example/team/*\n", False),
    ],
)
def test_names_of_a_policy_are_whole(text: str, good: bool) -> None:
    assert is_pattern(text) is good


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("registry.example/*", "registry.example/app", True),
        ("registry.example/*", "registry.example/a/b/c", True),
        ("registry.example/*", "registry.example:5000/app", False),
        ("registry.example/*", "registry.example.evil/app", False),
        ("registry.example/team/*", "registry.example/teams/app", False),
        ("registry.example/team/*", "registry.example/team", False),
        (NAME, NAME, True),
        (NAME, f"{NAME}/more", False),
        (NAME, f"{NAME}s", False),
    ],
)
def test_a_name_is_allowed_by_whole_parts(pattern: str, name: str, allowed: bool) -> None:
    assert bool(list(ImagePolicy(names=frozenset({pattern})).objections(name))) is not allowed


CONFIG = """
[server]
listen = "127.0.0.1:9443"
certificate = "server.pem"
private_key = "server.key"
[audit]
path = "audit.jsonl"
[keys.release]
key = "release.pem"
"""


def client(name: str, images: str, digit: str) -> str:
    return (
        f'[clients.{name}]\nkey = "release"\ntoken_sha256 = ["{digit * 64}"]\n'
        "measurements = []\nproduct_ids = []\n" + (f"images = {images}\n" if images else "")
    )


def test_a_configuration_names_images(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    path.write_text(CONFIG + client("none", "", "1") + client("some", '["registry.example/*"]', "2"))
    none, some = load_config(path).clients
    assert none.images == ImagePolicy(names=frozenset())
    assert some.images == ImagePolicy(names=frozenset({"registry.example/*"}))
    path.write_text(CONFIG + client("none", "", "1") + client("all", '"any"', "2"))
    assert load_config(path).clients[1].images == ImagePolicy(names=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (client("a", '["app"]', "1"), "images must be a list of image names"),
        (client("a", '["*"]', "1"), "images must be a list of image names"),
        (client("a", "[1]", "1"), "images must be a list of image names"),
        (client("a", '"all"', "1"), "images must be a list of image names"),
        (client("a", '"any"', "1") + client("b", f'["{NAME}"]', "2"), "needs a key of its own, or names"),
        (client("a", '"any"', "1") + client("b", '"any"', "2"), "needs a key of its own, or names"),
    ],
)
def test_other_names_of_images_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "signer.toml"
    path.write_text(CONFIG + text)
    with pytest.raises(UsageError, match=message):
        load_config(path)
