"""The signing service under load: bad requests among good ones, slow clients, and a kill in the middle."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

import pytest

from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import SIGNED_SIZE, Sigstruct
from enclavize.signing.keys import load_private_key
from enclavize.signing.service.protocol import SIGN_PATH
from support.scale import scaled
from support.signing_service import running_service
from support.vectors import INTEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from support.signing_service import Service

pytestmark = pytest.mark.integration

REQUESTS = scaled(10_000, least=400)
CONNECTIONS = 8
SLOW_CONNECTIONS = 25
TORN = b'{"seq": 1000000, "prev": "0123'
MAX_DOWNTIME = 120


class Kind(Enum):
    GOOD = auto()
    MALFORMED = auto()
    WRONG_TOKEN = auto()
    OVERSIZED = auto()
    SLOW = auto()


SHARES = {Kind.GOOD: 89, Kind.MALFORMED: 5, Kind.WRONG_TOKEN: 3, Kind.OVERSIZED: 2, Kind.SLOW: 1}
STATUS = {Kind.GOOD: 200, Kind.MALFORMED: 400, Kind.WRONG_TOKEN: 401, Kind.OVERSIZED: 413}


@dataclass(frozen=True, kw_only=True)
class Request:
    kind: Kind
    body: bytes


@dataclass(kw_only=True)
class Outcome:
    """What clients saw. ``broken`` are connections that ended without an answer."""

    signatures: dict[bytes, bytes] = field(default_factory=dict)  # by material
    statuses: Counter[tuple[Kind, int]] = field(default_factory=Counter)
    broken: Counter[Kind] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answers(self) -> int:
        return sum(self.statuses.values())


def requests(unsigned: Sigstruct) -> Iterator[Request]:
    """Each good request is for another enclave, so that each signature belongs to one line of the log."""
    rng = random.Random(3)
    kinds = rng.choices(list(SHARES), weights=list(SHARES.values()), k=REQUESTS)
    for number, kind in enumerate(kinds):
        mrenclave = hashlib.sha256(number.to_bytes(8, "little")).digest()
        measurement = replace(unsigned.measurement, mrenclave=mrenclave)
        body = replace(unsigned, measurement=measurement).signed_bytes()
        if kind is Kind.MALFORMED:
            header, reserved = bytes([body[0] ^ 1]) + body[1:], body[:44] + b"\1" + body[45:]
            short, noise = body[: rng.randrange(SIGNED_SIZE)], rng.randbytes(SIGNED_SIZE)
            body = rng.choice((short, noise, header, reserved, b"{}"))
        elif kind is Kind.OVERSIZED:
            body += rng.randbytes(rng.choice((1, 256, 100_000)))
        yield Request(kind=kind, body=body)


class Client:
    """One connection, opened again when it breaks; a request without an answer is asked again."""

    def __init__(self, service: Service, outcome: Outcome) -> None:
        self._service = service
        self._outcome = outcome
        self._tls = service.tls()
        self._token = service.token("free")

    def run(self, waiting: Iterator[Request], lock: threading.Lock) -> None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._service.port, context=self._tls, timeout=30
        )
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                connection.close()
                return
            if request.kind is Kind.SLOW:
                self._be_slow(request)
            else:
                self._ask(connection, request)

    def _ask(self, connection: http.client.HTTPSConnection, request: Request) -> None:
        deadline = time.monotonic() + MAX_DOWNTIME
        while (answer := self._try(connection, request)) is None:
            if request.kind is Kind.OVERSIZED:  # it may be cut off before all was sent
                return
            assert time.monotonic() < deadline, "the service did not come back"
            time.sleep(0.05)
        self._note(request, *answer)

    def _try(self, connection: http.client.HTTPSConnection, request: Request) -> tuple[int, bytes] | None:
        token = "wrong" if request.kind is Kind.WRONG_TOKEN else self._token
        try:
            connection.request("POST", SIGN_PATH, request.body, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            with self._outcome.lock:
                self._outcome.broken[request.kind] += 1
            return None

    def _note(self, request: Request, status: int, body: bytes) -> None:
        with self._outcome.lock:
            self._outcome.statuses[request.kind, status] += 1
            try:
                answer = json.loads(body)
                if status == 200:
                    self._outcome.signatures[request.body] = base64.b64decode(answer["signature"])
                else:
                    assert answer["error"]
            except (ValueError, KeyError, AssertionError):
                self._outcome.errors.append(f"{request.kind}: {status}: {body[:200]!r}")

    def _be_slow(self, request: Request) -> None:
        """Send the head and a part of the body, then nothing; the service has to end it."""
        head = (
            f"POST {SIGN_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Length: {len(request.body)}\r\n\r\n"
        )
        received = b""
        try:
            with (
                socket.create_connection(("127.0.0.1", self._service.port), timeout=60) as plain,
                self._tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
            ):
                connection.sendall(head.encode() + request.body[:100])
                while data := connection.recv(4096):
                    received += data
        except TimeoutError:
            with self._outcome.lock:
                self._outcome.errors.append("a slow client was not cut off")
        except OSError:
            pass
        with self._outcome.lock:
            self._outcome.broken[Kind.SLOW] += 1
            if received:
                self._outcome.errors.append(f"an answer to half a request: {received[:200]!r}")


def start_clients(
    pool: ThreadPoolExecutor, service: Service, asked: list[Request], outcome: Outcome, connections: int
) -> list[Future[None]]:
    waiting, lock = iter(asked), threading.Lock()
    return [pool.submit(Client(service, outcome).run, waiting, lock) for _ in range(connections)]


def audit_verify(log: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "enclavize", "signer", "audit", "verify", str(log), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def anchors(service: Service) -> list[tuple[str, str]]:
    """What the service said of its log, to be noted elsewhere."""
    events = [event for event in service.events() if event["event"] in ("listening", "stopped")]
    return [(event["audit_head"], str(event["audit_count"])) for event in events]


def test_nothing_wrong_and_nothing_unlogged_leaves_the_service(tmp_path: Path) -> None:
    config = EnclaveConfig(disable_debug=True)
    measurement = measure_enclave(INTEL / "enclaves/enclave_a.so", config).measurement
    asked = list(requests(Sigstruct(measurement=measurement, date=0x20261123)))
    outcome = Outcome()
    start = time.monotonic()
    options = {"request_timeout": 2}
    with (
        running_service(tmp_path, {"free": {}}, server=options) as service,
        ThreadPoolExecutor(CONNECTIONS + 2 * SLOW_CONNECTIONS) as pool,
    ):
        public_key = load_private_key(tmp_path / "main.pem").public_key()
        # Slow clients have connections of their own, or the others would wait for them.
        slow = [request for request in asked if request.kind is Kind.SLOW]
        others = [request for request in asked if request.kind is not Kind.SLOW]
        clients = start_clients(pool, service, others, outcome, CONNECTIONS)
        clients += start_clients(pool, service, slow[::2], outcome, SLOW_CONNECTIONS)
        while outcome.answers < REQUESTS // 2 and not all(client.done() for client in clients):
            time.sleep(0.01)
        assert service.process is not None
        assert service.process.poll() is None
        service.stop(kill=True)
        with (tmp_path / "audit.jsonl").open("ab") as log:
            log.write(TORN)  # as if the kill had come between two bytes of a line
        service.start()
        clients += start_clients(pool, service, slow[1::2], outcome, SLOW_CONNECTIONS)
        for client in clients:
            client.result()
    duration = time.monotonic() - start

    assert not outcome.errors, outcome.errors[:5]
    counts = Counter(request.kind for request in asked)
    for kind, status in STATUS.items():
        answered = {code for known, code in outcome.statuses if known is kind}
        assert answered <= {status}, (kind, answered)
        if kind is not Kind.OVERSIZED:
            assert outcome.statuses[kind, status] == counts[kind]
    assert outcome.statuses[Kind.OVERSIZED, 413]
    assert outcome.broken[Kind.SLOW] == counts[Kind.SLOW]

    for material, signature in outcome.signatures.items():
        Sigstruct.from_signed_bytes(material).with_signature(signature, public_key).verify()

    entries = service.audit()
    logged = {
        (entry["material_sha256"], entry["signature_sha256"])
        for entry in entries
        if entry["event"] == "signed"
    }
    for material, signature in outcome.signatures.items():
        assert (hashlib.sha256(material).hexdigest(), hashlib.sha256(signature).hexdigest()) in logged
    good = {hashlib.sha256(request.body).hexdigest() for request in asked if request.kind is Kind.GOOD}
    assert {material for material, _ in logged} == good
    assert [entry["event"] for entry in entries].count("recovered") == 1
    assert [entry["torn"] for entry in entries if "torn" in entry] == [TORN.decode()]
    assert any(event.get("torn_bytes") == len(TORN) for event in service.events())

    noted = anchors(service)
    assert len(noted) == 3
    for head, count in noted:
        verified = audit_verify(tmp_path / "audit.jsonl", "--head", head, "--count", count)
        assert verified.returncode == 0, verified.stderr
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "short.jsonl").write_bytes(b"".join(lines[:-1]))
    head, count = noted[-1]
    assert "truncated" in audit_verify(tmp_path / "short.jsonl", "--head", head, "--count", count).stderr
    print(f"{REQUESTS} requests in {duration:.1f} s: {outcome.statuses}, broken: {outcome.broken}")
