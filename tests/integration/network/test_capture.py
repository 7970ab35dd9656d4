"""Who listens to the network hears what goes over it, and nothing of Unix sockets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.network_namespace import network_namespace
from support.programs import need, need_root, static_musl
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.tee import TeeTree

pytestmark = pytest.mark.integration

CAPTURE = """
import socket, sys
ETH_P_ALL = 3
listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
listener.bind(("lo", 0))
listener.setsockopt(socket.SOL_SOCKET, 33, 1 << 24) # SO_RCVBUFFORCE
print("ready", flush=True)
sys.stdin.read()
listener.setblocking(False)
try:
    while True:
        sys.stdout.buffer.write(listener.recv(1 << 16))
except BlockingIOError:
    pass
"""
SHOUTS = (b"shout over TCP", b"shout over IPv6", b"shout over UDP")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """Return a TEE image of the program that whispers and shouts."""
    need("umoci", "skopeo", "musl-gcc")
    need_root()
    base = tmp_path_factory.mktemp("capture")
    root = base / "rootfs"
    (root / "tmp").mkdir(parents=True)
    static_musl(Path(__file__).parent / "whispers.c", root / "whispers")
    image = ordinary_image(base / "layout", root, config=["--config.cmd", "/whispers"])
    return Converter.create(base).tree(image, "tree")


def captured(tree: TeeTree, wrapper: Sequence[str]) -> bytes:
    """Run the program; return all frames that loopback carried meanwhile."""
    with subprocess.Popen(
        [*wrapper, sys.executable, "-c", CAPTURE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as capture:
        assert capture.stdout is not None
        assert capture.stdout.readline() == b"ready\n"
        done = tree.run(wrapper=wrapper)
        assert done.returncode == 0, done.stderr
        return capture.communicate(timeout=120)[0]


def test_unix_sockets_are_not_heard(tree: TeeTree) -> None:
    with network_namespace() as network:
        heard = captured(tree, network.wrapper)
    assert all(shout in heard for shout in SHOUTS)
    assert b"whisper" not in heard
