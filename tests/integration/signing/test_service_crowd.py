"""Many connections that ask for nothing: the service stays there for those who do."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3

from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from enclavize.signing.service.connections import REFUSABLE, RESERVE
from enclavize.signing.service.protocol import HEALTH_PATH, SIGN_PATH
from support.command import REPOSITORY
from support.signing_service import Service, running_service
from support.vectors import INTEL

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

MAX_CONNECTIONS = 8
FLOOD = 1100
"""More than the service and this process may have descriptors, unless they raise the limit."""

TLS_FLOOD = 4 * MAX_CONNECTIONS

BEGINNINGS = {
    "nothing": b"",
    "a part of a ClientHello": bytes.fromhex("1603010200010001fc0303"),
    "no TLS": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.fixture(scope="module")
def unsigned() -> Sigstruct:
    measurement = measure_enclave(
        INTEL / "enclaves/enclave_a.so", EnclaveConfig(disable_debug=True)
    ).measurement
    return Sigstruct(measurement=measurement, date=0x20261123)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = {"max_connections": MAX_CONNECTIONS, "request_timeout": 600}  # no time limit helps
    with (
        descriptors(512),
        running_service(tmp_path_factory.mktemp("crowd"), {"free": {}}, server=options) as running,
    ):
        yield running


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Let this process, and those it starts, have so many."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < count:
        pytest.skip(f"a process may have {limits[1]} descriptors here, and {count} are wanted")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def open_descriptors(service: Service) -> int:
    assert service.process is not None
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


@contextmanager
def silent(service: Service) -> Iterator[ssl.SSLSocket]:
    """A connection after its handshake."""
    plain = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    with service.tls().wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        yield connection


@contextmanager
def begun_request(service: Service) -> Iterator[ssl.SSLSocket]:
    """A connection whose request is under way: the service waits for the body."""
    lines = [
        f"POST {SIGN_PATH} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {service.token('free')}",
        "Content-Length: 256",
        "Expect: 100-continue",
        "Connection: close",
    ]
    with silent(service) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
        yield connection


def get(service: Service, path: str) -> urllib3.BaseHTTPResponse:
    with urllib3.HTTPSConnectionPool("127.0.0.1", service.port, ca_certs=str(service.ca)) as pool:
        return pool.request("GET", path, retries=False)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_who_is_silent_before_tls_begins_keeps_nobody_out(
    service: Service, unsigned: Sigstruct, beginning: str
) -> None:
    with descriptors(2 * FLOOD), ExitStack() as stack:
        for _ in range(FLOOD):
            connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
            stack.enter_context(connection)
            with suppress(OSError):  # it may have been ended already
                connection.sendall(BEGINNINGS[beginning])
        sign_sigstruct(unsigned, service.client("free")).verify()
        assert open_descriptors(service) <= MAX_CONNECTIONS + REFUSABLE + RESERVE
    sign_sigstruct(unsigned, service.client("free")).verify()


def test_who_is_silent_after_the_handshake_keeps_nobody_out(service: Service, unsigned: Sigstruct) -> None:
    with ExitStack() as stack:
        for _ in range(TLS_FLOOD):
            stack.enter_context(silent(service))
            sign_sigstruct(unsigned, service.client("free")).verify()
        assert open_descriptors(service) <= MAX_CONNECTIONS + REFUSABLE + RESERVE


def test_a_head_that_does_not_end_keeps_nobody_out(service: Service, unsigned: Sigstruct) -> None:
    with ExitStack() as stack:
        for _ in range(TLS_FLOOD):
            connection = stack.enter_context(silent(service))
            connection.sendall(f"POST {SIGN_PATH} HTTP/1.1\r\nX: ".encode())
        sign_sigstruct(unsigned, service.client("free")).verify()


def test_the_log_tells_of_a_crowd_but_not_of_each_connection(service: Service) -> None:
    told = [event for event in service.events() if event["event"] == "too many connections"]
    assert 1 <= len(told) <= 3
    assert told[0]["max_connections"] == MAX_CONNECTIONS


def test_requests_under_way_are_not_ended_for_others(service: Service, unsigned: Sigstruct) -> None:
    with ExitStack() as stack:
        under_way = [stack.enter_context(begun_request(service)) for _ in range(MAX_CONNECTIONS)]
        answer = get(service, HEALTH_PATH)
        assert answer.status == 503
        assert json.loads(answer.data)["error"] == "too many connections"
        for _ in range(4 * REFUSABLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=30))
        for connection in under_way:
            connection.sendall(unsigned.signed_bytes())
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert get(service, HEALTH_PATH).status == 200


def test_without_descriptors_for_its_connections_it_does_not_start(tmp_path: Path) -> None:
    service = Service(folder=tmp_path, clients={"free": {}}, server={"max_connections": 10_000})
    service.prepare()
    command = [sys.executable, "-m", "enclavize", "signer", "serve", "--config", str(service.write_config())]
    done = subprocess.run(
        ["prlimit", "--nofile=1024:1024", *command], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "max_connections = 10000 needs 10080 file descriptors; 1024 are allowed" in done.stderr
