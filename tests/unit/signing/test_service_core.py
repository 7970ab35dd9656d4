"""The service without HTTP: nothing leaves that is not verified, logged and on disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.service.audit import MAX_LINE, AuditLog, verify_chain
from enclavize.signing.service.config import Client
from enclavize.signing.service.core import AuditWriter, RefusedError, SigningService
from enclavize.signing.service.policy import SigningPolicy
from enclavize.signing.service.protocol import parse_answer
from support.vectors import INTEL, signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from enclavize.signing.local import Signer
    from enclavize.signing.material import SigningMaterial

MATERIAL = (INTEL / "cases/kss/gendata.bin").read_bytes()
CLIENT = Client(
    name="client", key="key", token_hashes=frozenset(), certificate_hashes=frozenset(),
    policy=SigningPolicy(
        measurements=None, product_ids=None, family_ids=None, extended_product_ids=None, attributes=0x82
    ),
    requests_per_minute=1,
)  # fmt: skip


class BadSigner:
    """Fails, or gives a signature with one wrong bit, as a faulty processor would."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    @property
    def public_key(self) -> RSAPublicKey:
        return signer().public_key

    def sign(self, material: SigningMaterial) -> bytes:
        if self._error:
            raise self._error
        signature = signer().sign(material)
        return bytes([signature[0] ^ 1]) + signature[1:]

    def sign_image(self, name: str, digest: str) -> bytes:
        if self._error:
            raise self._error
        return signer().sign_image(name, f"sha256:{hashlib.sha256(digest.encode()).hexdigest()}")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    made = AuditLog(tmp_path / "audit.jsonl")
    yield made
    made.close()


def service(log: AuditLog, key: Signer | None = None) -> SigningService:
    return SigningService({"key": key or signer()}, log)


def events(log: AuditLog) -> list[bytes]:
    with log.path.open("rb") as stream:
        assert verify_chain(stream, "log").torn == b""
    return [line.split(b'"event": "')[1].split(b'"')[0] for line in log.path.read_bytes().splitlines()]


def test_a_signature_leaves_when_its_line_is_on_disk(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr("os.fsync", fsync)
    signature, _pem = parse_answer(asyncio.run(service(log).sign(CLIENT, MATERIAL, {})))
    assert synced[-1] == log.path.stat().st_size > 0
    Sigstruct.from_signed_bytes(MATERIAL).with_signature(signature, signer().public_key).verify()


def test_without_a_line_on_disk_no_signature_leaves(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    made = service(log)

    def fail(_descriptor: int) -> None:
        raise OSError(5, "I/O error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(RefusedError) as refusal:
            asyncio.run(made.sign(CLIENT, MATERIAL, {}))
    assert refusal.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert not made.is_healthy
    with pytest.raises(RefusedError):  # also when the disk is well again: what it has is not known
        asyncio.run(made.sign(CLIENT, MATERIAL, {}))


@pytest.mark.parametrize("error", [None, SigningRefusedError("unplugged"), UsageError("locked")])
def test_a_bad_signature_and_a_broken_key_are_refusals(log: AuditLog, error: Exception | None) -> None:
    with pytest.raises(RefusedError) as refusal:
        asyncio.run(service(log, BadSigner(error)).sign(CLIENT, MATERIAL, {}))
    assert refusal.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert refusal.value.reason == "the key cannot be used now"  # what ails it is the operator's matter
    assert events(log) == [b"failed"]


def test_requests_at_the_same_time_share_the_wait_for_the_disk(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        syncs.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    made = service(log)
    body = bytes([MATERIAL[0] ^ 1]) + MATERIAL[1:]

    async def ask() -> list[object]:
        requests = [made.sign(CLIENT, body, {"request": number}) for number in range(50)]
        return list(await asyncio.gather(*requests, return_exceptions=True))

    assert all(isinstance(answer, RefusedError) for answer in asyncio.run(ask()))
    assert events(log) == [b"refused"] * 50
    assert len(syncs) < 10


def test_a_request_that_is_given_up_disturbs_no_other(log: AuditLog) -> None:
    made = service(log)

    async def ask() -> bytes:
        tasks = [asyncio.create_task(made.sign(CLIENT, MATERIAL, {"request": n})) for n in range(8)]
        await asyncio.sleep(0)
        for task in tasks[:4]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(answer, bytes) for answer in answers] == [False] * 4 + [True] * 4
        return await made.sign(CLIENT, MATERIAL, {})

    parse_answer(asyncio.run(ask()))
    assert events(log).count(b"signed") >= 5


def test_a_request_that_no_line_has_room_for_is_refused_and_disturbs_no_other(log: AuditLog) -> None:
    made = service(log)

    async def ask() -> list[object]:
        requests = [made.sign(CLIENT, MATERIAL, {"address": "x" * size}) for size in (1, MAX_LINE, 2)]
        return list(await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 30))

    first, too_long, last = asyncio.run(ask())
    assert isinstance(too_long, RefusedError)
    assert too_long.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert isinstance(first, bytes)
    assert isinstance(last, bytes)
    assert events(log) == [b"signed"] * 2
    assert made.is_healthy


def test_a_defect_leaves_no_request_waiting(log: AuditLog, caplog: pytest.LogCaptureFixture) -> None:
    made = service(log)

    async def ask() -> list[object]:
        facts: list[dict[str, Any]] = [{"request": 1}, {"request": {2}}, {"request": 3}]  # a set is not JSON
        requests = [AuditWriter(log).append(entry) for entry in facts] + [made.sign(CLIENT, MATERIAL, {})]
        return list(await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 30))

    assert [type(answer) for answer in asyncio.run(ask())] == [type(None), TypeError, type(None), bytes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "append", lambda _entries: 1 / 0)
        with pytest.raises(RefusedError, match="cannot be written"):
            asyncio.run(asyncio.wait_for(made.sign(CLIENT, MATERIAL, {}), 30))
    assert "internal error" in caplog.text


def test_one_key_cannot_have_two_names(log: AuditLog) -> None:
    with pytest.raises(UsageError, match="are the same key"):
        SigningService({"one": signer(), "two": BadSigner()}, log)


def test_objections_are_logged_all_and_told(log: AuditLog) -> None:
    policy = SigningPolicy(measurements=frozenset(), product_ids=frozenset(), min_svn=0xFFFF)
    with pytest.raises(RefusedError) as refusal:
        asyncio.run(service(log).sign(replace(CLIENT, policy=policy), MATERIAL, {}))
    assert refusal.value.status == HTTPStatus.FORBIDDEN
    for reason in ("measurement", "product id", "security version", "DEBUG"):
        assert reason in refusal.value.reason
    assert events(log) == [b"refused"]
