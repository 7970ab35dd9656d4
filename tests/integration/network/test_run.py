"""``enclavize run``: a container of its own has loopback; with the machine's network, servers are reached."""

from __future__ import annotations

import http.client
import subprocess
from pathlib import Path

import pytest

from support.programs import REPOSITORY, go_program, need, need_root, static_musl
from support.tee import ENCLAVIZE, Converter, ordinary_image

pytestmark = pytest.mark.integration

PROGRAMS = REPOSITORY / "tests" / "native" / "programs"
RUN = (*ENCLAVIZE, "run", "--simulate")


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Converter:
    """Convert an image with two programs; it is the archive ``tree.tar`` then."""
    need("musl-gcc", "umoci", "skopeo", "runc")
    need_root()
    base = tmp_path_factory.mktemp("run")
    root = base / "rootfs"
    root.mkdir()
    static_musl(PROGRAMS / "tcp.c", root / "tcp", "-pthread")
    go_program(Path(__file__).parent / "servers", root / "server")
    made = Converter.create(base)
    made.tree(ordinary_image(base / "layout", root, config=["--config.cmd", "/tcp"]), "tree", "--allow-args")
    return made


def test_loopback_is_there_without_a_network(converter: Converter) -> None:
    done = converter.run("run", "--simulate", f"oci-archive:{converter.base / 'tree.tar'}")
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
        assert process.wait(30) == 143
