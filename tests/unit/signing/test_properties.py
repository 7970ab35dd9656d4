"""What comes from outside while signing: material, requests to the service, answers of one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.errors import IntegrityError, SigningRefusedError
from enclavize.sgx.sigstruct import SIGNED_SIZE, Sigstruct
from enclavize.signing.material import SigningMaterial
from enclavize.signing.service.audit import AuditLog
from enclavize.signing.service.clients import Authenticator, hash_token
from enclavize.signing.service.config import Client
from enclavize.signing.service.core import RefusedError, SigningService
from enclavize.signing.service.policy import SigningPolicy
from enclavize.signing.service.protocol import build_answer, parse_answer, parse_error
from enclavize.signing.two_step import parse_material
from support.scale import scaled
from support.vectors import INTEL, signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MATERIAL = (INTEL / "cases/kss/gendata.bin").read_bytes()
TOKEN = "the token"
CLIENT = Client(
    name="client", key="key", token_hashes=frozenset({hash_token(TOKEN)}), certificate_hashes=frozenset(),
    policy=SigningPolicy(
        measurements=None, product_ids=None, family_ids=None, extended_product_ids=None, attributes=0x82
    ),
    requests_per_minute=1,
)  # fmt: skip

often = settings(max_examples=scaled(10_000, least=100), deadline=None)
patches = st.lists(st.tuples(st.integers(0, SIGNED_SIZE - 1), st.integers(0, 255)), max_size=3)


def patched(patch: list[tuple[int, int]]) -> bytes:
    data = bytearray(MATERIAL)
    for offset, value in patch:
        data[offset] = value
    return bytes(data)


bodies = st.one_of(
    st.binary(max_size=SIGNED_SIZE + 1),
    patches.map(patched),
    st.builds(lambda patch, cut: patched(patch)[:cut], patches, st.integers(0, SIGNED_SIZE)),
)


@often
@given(bodies)
def test_bytes_are_material_or_refused_and_material_keeps_its_bytes(body: bytes) -> None:
    try:
        material = parse_material(body)
    except IntegrityError:
        with pytest.raises(IntegrityError):
            Sigstruct.from_signed_bytes(body)
        return
    assert SigningMaterial.of(material.sigstruct).header_and_body == body


def test_damaged_material_gives_typed_errors_only() -> None:
    rng = random.Random(40)
    for _ in range(scaled(40_000)):
        data = bytearray(MATERIAL)
        for _ in range(rng.randrange(1, 5)):
            offset = rng.randrange(len(data))
            data[offset : offset + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        with contextlib.suppress(IntegrityError):
            parse_material(bytes(data))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SigningService, Path]]:
    path = tmp_path_factory.mktemp("service") / "audit.jsonl"
    log = AuditLog(path)
    made = SigningService({"key": signer()}, log)
    yield made, path
    made.close()
    log.close()


@settings(max_examples=scaled(4000, least=40), deadline=None)
@given(bodies)
def test_each_request_is_refused_or_signed_and_both_are_logged(
    service: tuple[SigningService, Path], body: bytes
) -> None:
    core, path = service
    before = path.stat().st_size if path.exists() else 0
    try:
        answer = asyncio.run(core.sign(CLIENT, body, {"request": "x"}))
    except RefusedError:
        event = "refused"
    else:
        signature, pem = parse_answer(answer)
        assert pem == core.public_key(CLIENT)
        Sigstruct.from_signed_bytes(body).with_signature(signature, signer().public_key).verify()
        event = "signed"
    with path.open("rb") as log:
        log.seek(before)
        (line,) = log.read().splitlines()
    assert json.loads(line)["event"] == event


@often
@given(
    st.none() | st.text() | st.text().map("Bearer {}".format), st.none() | st.binary(min_size=1, max_size=99)
)
def test_strangers_are_nobody(authorization: str | None, certificate: bytes | None) -> None:
    authenticator = Authenticator([CLIENT])
    assert authenticator.identify(authorization, certificate) is None
    assert authenticator.identify(f"BEARER  {TOKEN} ", certificate) is CLIENT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["signature", "publicKey", "error", "x"]), children, max_size=4)
    ),
    max_leaves=6,
)


@often
@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_answer_of_a_service_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(SigningRefusedError):
        signature, pem = parse_answer(data)
        assert isinstance(signature, bytes)
        assert isinstance(pem, bytes)
    text = parse_error(data)
    assert text.isprintable()
    assert len(text) <= 300


@often
@given(st.binary(max_size=400), st.text(st.characters(codec="ascii"), max_size=100))
def test_answers_are_read_as_they_were_written(signature: bytes, pem: str) -> None:
    answer = build_answer(signature, pem.encode())
    assert parse_answer(answer) == (signature, pem.encode())
    assert base64.b64decode(json.loads(answer)["signature"]) == signature
