"""The signing service's HTTP: damaged requests, endings, and errors that are always typed."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import ssl
import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.service.protocol import HEALTH_PATH, PUBLIC_KEY_PATH, SIGN_PATH
from enclavize.signing.service.server import GRACE
from support.scale import scaled
from support.signing_service import running_service
from support.vectors import INTEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.signing_service import Service

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def unsigned() -> Sigstruct:
    config = EnclaveConfig(disable_debug=True)
    measurement = measure_enclave(INTEL / "enclaves/enclave_a.so", config).measurement
    return Sigstruct(measurement=measurement, date=0x20261123)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("protocol")
    with running_service(folder, {"free": {}}, server={"request_timeout": 1}) as running:
        yield running


def connect(service: Service) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    return service.tls().wrap_socket(plain, server_hostname="127.0.0.1")


def request_bytes(service: Service, body: bytes) -> bytes:
    lines = [
        f"POST {SIGN_PATH} HTTP/1.1",
        "Host: signer",
        f"Authorization: Bearer {service.token('free')}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body


def exchange(service: Service, data: bytes) -> bytes:
    """Send, close our half, read everything; the service has to end the connection."""
    received = b""
    with connect(service) as connection, suppress(ConnectionError, ssl.SSLError):
        connection.sendall(data)
        while chunk := connection.recv(65536):
            received += chunk
    return received


def status_and_body(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    version, status, *_ = head.split()
    assert version == b"HTTP/1.1"
    return int(status), body


def ask(service: Service, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", service.port, context=service.tls(), timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


def test_damaged_requests_get_typed_errors_or_nothing(service: Service, unsigned: Sigstruct) -> None:
    """Most of the damage is in the head: in the body it is mostly another measurement, which is signed."""
    material = unsigned.signed_bytes()
    rng = random.Random(50)
    seen = set()
    for _ in range(scaled(2000)):
        data = bytearray(request_bytes(service, material))
        head = len(data) - len(material)
        for _ in range(rng.randrange(1, 4)):
            offset = rng.randrange(head if rng.random() < 0.9 else len(data))
            data[offset : offset + rng.randrange(3)] = rng.choice(
                (b"\r\n", b"\0", b"\xff", b":", b" ", rng.randbytes(2), b"Transfer-Encoding: chunked\r\n")
            )
        if answer := exchange(service, bytes(data)):
            status, body = status_and_body(answer)
            seen.add(status)
            assert status in (200, 400, 401, 403, 404, 405, 413)
            if status != 200:
                assert json.loads(body)["error"]
    assert {400, 401} <= seen
    assert ask(service, "GET", HEALTH_PATH) == (200, b"ok")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", SIGN_PATH, 405),
        ("POST", PUBLIC_KEY_PATH, 405),
        ("DELETE", HEALTH_PATH, 405),
        ("GET", "/", 405),
        ("GET", "/docs", 404),
        ("GET", f"{SIGN_PATH}/", 404),
        ("GET", "/api/v1/../../etc/passwd", 404),
        ("GET", PUBLIC_KEY_PATH, 401),
    ],
)
def test_every_refusal_is_json(service: Service, method: str, path: str, status: int) -> None:
    found, body = ask(service, method, path)
    assert found == status
    assert json.loads(body)["error"]


def test_endless_heads_are_refused(service: Service) -> None:
    head = f"GET {HEALTH_PATH} HTTP/1.1\r\nCookie: ".encode()
    if answer := exchange(service, head + b"x" * 1_000_000):  # it may be cut off while we are still sending
        status, body = status_and_body(answer)
        assert status == 400
        assert json.loads(body)["error"]


def test_answers_do_not_wait_for_acknowledgements(service: Service) -> None:
    """An answer is two segments. Without TCP_NODELAY the second waits for a client that acknowledges late."""

    def median_ping(*, acknowledge_at_once: bool) -> float:
        times = []
        with connect(service) as connection:
            for _ in range(21):
                start = time.perf_counter()
                connection.sendall(f"GET {HEALTH_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                received = b""
                while not received.endswith(b"ok"):
                    if acknowledge_at_once:
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                    received += connection.recv(4096)
                times.append(time.perf_counter() - start)
        return statistics.median(times)

    late = 0.04  # seconds, at least, on Linux
    assert median_ping(acknowledge_at_once=False) < median_ping(acknowledge_at_once=True) + late / 2


def test_a_request_under_way_is_answered_before_the_end(
    tmp_path_factory: pytest.TempPathFactory, unsigned: Sigstruct
) -> None:
    folder = tmp_path_factory.mktemp("ending")
    with running_service(folder, {"free": {}}) as service:
        data = request_bytes(service, unsigned.signed_bytes())
        with connect(service) as busy, connect(service) as idle:
            busy.sendall(data[:-100])
            ask(service, "GET", HEALTH_PATH)  # by now the beginning has arrived
            assert service.process is not None
            service.process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""  # idle connections are closed at once
            assert service.process.poll() is None
            busy.sendall(data[-100:])
            received = b""
            while chunk := busy.recv(65536):
                received += chunk
        status, body = status_and_body(received)
        assert status == 200
        assert json.loads(body)["signature"]
        assert service.process.wait(120) == 0
        assert [entry["event"] for entry in service.audit()] == ["started", "signed", "stopped"]


def test_idle_clients_do_not_delay_the_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As those of connection pools, which read nothing between two requests."""
    with running_service(tmp_path_factory.mktemp("idle"), {"free": {}}) as service:
        with connect(service), connect(service):
            ask(service, "GET", HEALTH_PATH)
            start = time.monotonic()
            assert service.stop() == 0
        assert time.monotonic() - start < GRACE


def test_a_second_signal_does_not_wait(tmp_path_factory: pytest.TempPathFactory, unsigned: Sigstruct) -> None:
    folder = tmp_path_factory.mktemp("impatient")
    options = {"request_timeout": 600}
    with running_service(folder, {"free": {}}, server=options) as service:
        with connect(service) as busy, connect(service) as idle:
            busy.sendall(request_bytes(service, unsigned.signed_bytes())[:-1])
            ask(service, "GET", HEALTH_PATH)
            assert service.process is not None
            start = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""
            service.process.send_signal(signal.SIGINT)
            assert service.process.wait(120) == 0
        assert time.monotonic() - start < GRACE  # which the first signal alone would wait
        assert [entry["event"] for entry in service.audit()] == ["started", "stopped"]
