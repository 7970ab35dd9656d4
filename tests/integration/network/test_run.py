"""``enclavize run``: a container of its own has loopback; with the machine's network, servers are reached."""

from __future__ import annotations

import http.client
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, go_program, need, need_root, static_musl
from support.strictness import SIMULATE
from support.tee import ENCLAVIZE, Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

PROGRAMS = REPOSITORY / "tests" / "native" / "programs"
RUN = (*ENCLAVIZE, "run", SIMULATE)
ENDED_BY_SIGTERM = 2
"""Of a Go program that does not handle it, as a container's first process: natively as well."""


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Converter:
    """Convert an image with two programs: ``tree.tar`` has loopback alone, ``open.tar`` the network."""
    need("musl-gcc", "umoci", "skopeo", "runc")
    need_root()
    base = tmp_path_factory.mktemp("run")
    root = base / "rootfs"
    root.mkdir()
    static_musl(PROGRAMS / "tcp.c", root / "tcp", "-pthread")
    go_program(Path(__file__).parent / "servers", root / "server")
    made = Converter.create(base)
    image = ordinary_image(base / "layout", root, config=["--config.cmd", "/tcp"])
    made.tree(image, "tree", "--allow-args")
    made.tree(image, "open", "--allow-args", "--allow-network", "all")
    return made


PORT_OF_CONTAINER = 80
"""As people have it. The container has no capabilities."""


@contextmanager
def published(converter: Converter, *options: str) -> Iterator[int]:
    """Run the server in a network of its own, one port of which is the machine's; yields that."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    image = f"oci-archive:{converter.base / 'open.tar'}"
    publish = ("-p", f"127.0.0.1:{port}:{PORT_OF_CONTAINER}", *options)
    with subprocess.Popen(
        [*RUN, *publish, image, "/server", str(PORT_OF_CONTAINER)],
        env=converter.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert line == b"%d\n" % PORT_OF_CONTAINER, process.stderr.read()
            yield port
        finally:
            process.terminate()
        assert process.wait(120) == ENDED_BY_SIGTERM
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_published_port_leads_to_the_program(converter: Converter) -> None:
    with published(converter) as port:
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(50)]
        for connection in connections:
            connection.request("GET", "/")
        for connection in connections:
            assert connection.getresponse().read() == b"hello from inside\n"
        large = b"0123456789abcdef" * (1 << 16)
        for connection in connections[:3]:
            connection.request("POST", "/echo", large)
            assert connection.getresponse().read() == large
        for connection in connections:
            connection.close()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(1000), b""))
        assert answer.endswith(b"hello from inside\n")


def test_the_sample_is_a_server_with_the_network_that_its_port_asks_for(tmp_path: Path) -> None:
    need("go", "umoci", "runc")
    build = REPOSITORY / "samples" / "build.sh"
    converter = Converter.create(tmp_path)
    subprocess.run([build, "server", tmp_path / "layout"], check=True, capture_output=True)
    archive = tmp_path / "tee.tar"
    converter.run("build", f"oci:{tmp_path / 'layout'}:1", "-o", f"type=oci,dest={archive}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [*RUN, "-p", f"127.0.0.1:{port}:8080", f"oci-archive:{archive}"],
        env=converter.environment, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            assert any(b"listening on :8080" in line for line in process.stderr)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("PUT", "/letter", b"dear enclave")
            assert connection.getresponse().read() == b""
            connection.request("GET", "/letter")
            assert connection.getresponse().read() == b"dear enclave"
            connection.close()
        finally:
            process.terminate()
        assert process.wait(120) == 0


def test_a_published_port_where_nobody_listens_is_reset(converter: Converter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        other = free.getsockname()[1]
    with (
        published(converter, "-p", f"127.0.0.1:{other}:1"),
        socket.create_connection(("127.0.0.1", other), timeout=30) as client,
        pytest.raises(ConnectionResetError),
    ):
        client.recv(1)


def test_a_port_that_is_taken_or_not_to_be_reached_is_an_error(converter: Converter) -> None:
    image = f"oci-archive:{converter.base / 'open.tar'}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = converter.run("run", SIMULATE, "-p", f"127.0.0.1:{port}:80", image, check=False)
        assert done.returncode == 125
        assert f"--publish 127.0.0.1:{port}:80: the port cannot be had: Address already in use" in done.stderr
    alone = f"oci-archive:{converter.base / 'tree.tar'}"
    done = converter.run("run", SIMULATE, "-p", "80", alone, check=False)
    assert done.returncode == 125
    assert "network is loopback: nobody from elsewhere is to reach it" in done.stderr


def test_loopback_is_there_without_a_network(converter: Converter) -> None:
    done = converter.run("run", SIMULATE, f"oci-archive:{converter.base / 'tree.tar'}")
    assert done.stdout == "tcp ok\n"


def test_a_server_is_reached_through_the_machines_network(converter: Converter) -> None:
    image = f"oci-archive:{converter.base / 'tree.tar'}"
    with subprocess.Popen(
        [*RUN, "--network", "host", image, "/server"],
        env=converter.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            connection = http.client.HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=30)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello from inside\n"
            connection.close()
        finally:
            process.terminate()
        assert process.wait(120) == ENDED_BY_SIGTERM
