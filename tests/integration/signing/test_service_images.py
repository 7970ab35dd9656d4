"""Images signed by a service over TLS: by its own operation, with its own permission."""

from __future__ import annotations

import base64
import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.signing.image_keys import is_signed_by, sign_image
from enclavize.signing.image_payload import build_payload
from enclavize.signing.pkcs11 import Pkcs11Signer, Pkcs11Uri
from enclavize.signing.pkcs11_image import Pkcs11ImageSigner
from enclavize.signing.service.protocol import MAX_IMAGE_REQUEST_SIZE, SIGN_IMAGE_PATH, SIGN_PATH
from support.signing_service import running_service
from support.softhsm import PIN
from support.vectors import INTEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.signing_service import Service
    from support.softhsm import SoftHsm

pytestmark = pytest.mark.integration

NAME, DIGEST = "registry.example/team/app", f"sha256:{'7' * 64}"
MATERIAL = (INTEL / "cases/default/gendata.bin").read_bytes()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    clients: dict[str, dict[str, Any]] = {
        "enclaves": {"product_ids": [0]},
        "images": {"measurements": [], "product_ids": [], "images": ["registry.example/team/*"]},
    }
    with running_service(tmp_path_factory.mktemp("service"), clients) as running:
        yield running


def post(service: Service, client: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", service.port, context=service.tls(), timeout=30)
    connection.request("POST", path, body, {"Authorization": f"Bearer {service.token(client)}"})
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


def test_a_service_signs_an_image(service: Service) -> None:
    signer = service.client("images")
    made = sign_image(signer, NAME, DIGEST)
    assert made.payload == build_payload(NAME, DIGEST)
    entry = service.audit()[-1]
    assert (entry["event"], entry["operation"], entry["image"]) == ("signed", "image", NAME)
    status, answer = post(
        service, "images", SIGN_IMAGE_PATH, json.dumps({"name": NAME, "digest": DIGEST}).encode()
    )
    assert status == 200
    found = {key: base64.b64decode(json.loads(answer)[key]) for key in ("signature", "payload")}
    assert found == {"signature": made.signature, "payload": made.payload}


def test_each_operation_has_its_own_permission(service: Service) -> None:
    with pytest.raises(SigningRefusedError, match="may not sign images"):
        service.client("enclaves").sign_image(NAME, DIGEST)
    with pytest.raises(SigningRefusedError, match="is not allowed"):
        service.client("images").sign_image("registry.example/other/app", DIGEST)
    status, answer = post(service, "images", SIGN_PATH, MATERIAL)
    assert (status, b"measurement is not allowed" in answer) == (403, True)
    with pytest.raises(UsageError, match="cannot be signed"):
        service.client("images").sign_image("app", DIGEST)


@pytest.mark.parametrize(
    "body",
    [
        MATERIAL,
        MATERIAL.hex().encode(),
        b"",
        b"[]",
        b"{",
        json.dumps({"name": NAME}).encode(),
        json.dumps({"name": NAME, "digest": MATERIAL.hex()}).encode(),
        json.dumps({"name": NAME, "digest": f"{DIGEST}\n"}).encode(),
        json.dumps({"name": MATERIAL.decode("latin-1"), "digest": DIGEST}).encode(),
        json.dumps({"name": f"{NAME}:1", "digest": DIGEST}).encode(),
        json.dumps({"name": NAME, "digest": DIGEST, "payload": "x"}).encode(),
        json.dumps({"name": ["a"], "digest": DIGEST}).encode(),
        json.dumps({"name": "\ud800", "digest": DIGEST}).encode(),
        b"[" * MAX_IMAGE_REQUEST_SIZE,
        build_payload(NAME, DIGEST),
    ],
)
def test_what_is_no_name_and_digest_is_refused(service: Service, body: bytes) -> None:
    status, answer = post(service, "images", SIGN_IMAGE_PATH, body)
    assert status == 400
    assert json.loads(answer)["error"]
    assert service.audit()[-1]["event"] == "refused"


def test_long_requests_are_refused(service: Service) -> None:
    assert post(service, "images", SIGN_IMAGE_PATH, b" " * (MAX_IMAGE_REQUEST_SIZE + 1))[0] == 413
    assert post(service, "enclaves", SIGN_PATH, build_payload(NAME, DIGEST).ljust(257))[0] == 413
    assert post(service, "enclaves", SIGN_PATH, build_payload(NAME, DIGEST)[:256].ljust(256))[0] == 400


def test_the_answer_is_not_believed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service that answers has signed something else: another name."""
    monkeypatch.setattr(
        "enclavize.signing.remote.build_image_request",
        lambda _name, digest: json.dumps({"name": "registry.example/team/other", "digest": digest}).encode(),
    )
    with pytest.raises(SigningRefusedError, match="is no signature of"):
        service.client("images").sign_image(NAME, DIGEST)


def test_a_service_without_the_operation_is_named(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclavize.signing.remote.SIGN_IMAGE_PATH", "/api/v1/none")
    with pytest.raises(SigningRefusedError, match="does not sign images"):
        service.client("images").sign_image(NAME, DIGEST)


@pytest.mark.parametrize("label", ["first", "web", "p256"])
def test_other_keys_of_a_token_sign_images_too(hsm: SoftHsm, label: str) -> None:
    key = Pkcs11ImageSigner(Pkcs11Uri.parse(hsm.uri(label)), PIN.encode, module=hsm.module)
    made = sign_image(key, NAME, DIGEST)
    assert is_signed_by(key.public_key, build_payload(NAME, DIGEST), made.signature)


def test_a_token_without_the_key_is_told(hsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="no private RSA or EC key of this name"):
        Pkcs11ImageSigner(Pkcs11Uri.parse(hsm.uri("none")), PIN.encode, module=hsm.module)
    with pytest.raises(SigningRefusedError, match="cannot sign images"):
        Pkcs11ImageSigner(Pkcs11Uri.parse(hsm.uri("p384")), PIN.encode, module=hsm.module)
    with pytest.raises(UsageError, match="no private RSA key of this name"):
        Pkcs11Signer(Pkcs11Uri.parse(hsm.uri("p256")), PIN.encode, module=hsm.module)


def test_a_token_signs_images(hsm: SoftHsm) -> None:
    key = Pkcs11Signer(Pkcs11Uri.parse(hsm.uri("first")), PIN.encode, module=hsm.module)
    made = sign_image(key, NAME, DIGEST)
    assert is_signed_by(key.public_key, build_payload(NAME, DIGEST), made.signature)
    with pytest.raises(UsageError, match="cannot be signed"):
        key.sign_image(MATERIAL.decode("latin-1"), DIGEST)
