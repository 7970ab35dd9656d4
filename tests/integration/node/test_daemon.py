"""The daemon alone: who may ask, what it takes, and what a killed one leaves."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import generate_key
from support.node import running_node
from support.programs import need_root
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.node import Node

pytestmark = pytest.mark.integration

SERVE = (sys.executable, "-m", "enclavize", "node", "serve")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    need_root()
    key = tmp_path_factory.mktemp("key") / "key.pem"
    generate_key(key)
    with running_node(("--key", key)) as running:
        yield running


def _say(node: Node, data: bytes, *, end: bool = True) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(node.socket))
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass  # it has answered already
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found = json.loads(answer)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("request_text", "message"),
    [
        ("", "one line"),
        ("{}", "one line"),
        ("{}\n", "version None"),
        ('{"version": 2, "operation": "status"}\n', "version 2"),
        ('{"version": true, "operation": "status"}\n', "version True"),
        ('{"version": 1, "operation": "halt"}\n', "unknown"),
        ('{"version": 1, "operation": 7}\n', "operation"),
        ('{"version": 1, "operation": "convert"}\n', "names no container"),
        ('{"version": 1, "operation": "convert", "id": "../x", "bundle": "/x"}\n', "names no container"),
        ('{"version": 1, "operation": "convert", "id": "x", "bundle": "x"}\n', "no absolute path"),
        ('{"version": 1, "operation": "convert", "id": "x", "bundle": "/a/../x"}\n', "no absolute path"),
        (
            '{"version": 1, "operation": "convert", "id": "x", "bundle": "/absent"}\n',
            "cannot read config.json",
        ),
        ('{"version": 1, "operation": "forget", "keys": "all"}\n', "keys"),
        ("[1]\n", "request"),
        ("\xff\n", "request"),
        ("x" * 70_000, "at most 65536 bytes"),
    ],
)
def test_malformed_requests(node: Node, request_text: str, message: str) -> None:
    assert message in str(_say(node, request_text.encode("latin-1"))["error"])


def test_random_requests(node: Node) -> None:
    random = Random(7)
    request = b'{"version": 1, "operation": "convert", "id": "some", "bundle": "/some/where"}\n'
    for _ in range(scaled(2000)):
        damaged = bytearray(request)
        for _ in range(random.randrange(1, 5)):
            at = random.randrange(len(damaged))
            damaged[at : at + random.randrange(4)] = random.randbytes(random.randrange(4))
        assert "error" in _say(node, bytes(damaged))
    assert node.status()["running"] == 0


def test_a_bundle_without_an_engine_is_refused(node: Node, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"root": {"path": "rootfs"}}')
    request = {"version": 1, "operation": "convert", "id": "some", "bundle": str(tmp_path)}
    answer = _say(node, json.dumps(request).encode() + b"\n")
    assert "images are converted for containerd, docker and podman" in str(answer["error"])


def test_only_root_is_answered(node: Node) -> None:
    """Neither does the folder let others in, nor does the daemon believe them."""
    program = """
import contextlib, os, socket, sys
os.setgid(65534)
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
with contextlib.suppress(BrokenPipeError):  # it may have been answered already
    connection.sendall(sys.argv[2].encode())
print(connection.recv(4096))
"""
    request = '{"version": 1, "operation": "status"}\n'

    def ask() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, str(node.socket), request]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert "PermissionError" in ask().stderr
    for path in (node.socket.parents[1], node.socket.parent, node.socket):
        path.chmod(0o777)
    try:
        assert "is for root alone" in ask().stdout
    finally:
        for path in (node.socket.parents[1], node.socket.parent):
            path.chmod(0o700)
        node.socket.chmod(0o600)


def test_there_is_one_daemon(node: Node, tmp_path: Path) -> None:
    def second(*options: str | Path) -> str:
        done = subprocess.run(
            [*SERVE, *node.signer, "--rules", node.rules, *options],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 2
        return done.stderr

    cache = node.folder / "cache"
    assert "another daemon has" in second("--cache", cache, "--socket", tmp_path / "socket")
    assert "another daemon answers" in second("--cache", tmp_path / "cache", "--socket", node.socket)
    assert node.status()["running"] == 0


def test_who_does_not_sign_does_not_start(node: Node) -> None:
    done = node.run("serve")
    assert done.returncode == 2
    assert "nobody signs the node's enclaves" in done.stderr


@pytest.mark.parametrize("rule", ["[match\n", '[policy]\nallow-env = ["LD_PRELOAD"]\n', 'libos = "none"\n'])
def test_a_daemon_with_a_malformed_rule_does_not_start(node: Node, rule: str) -> None:
    (node.rules / "90-bad.toml").write_text(rule)
    try:
        done = subprocess.run(
            [*SERVE, *node.signer, "--rules", node.rules],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 2
        assert "90-bad.toml" in done.stderr
    finally:
        (node.rules / "90-bad.toml").unlink()


def test_what_a_killed_daemon_left_is_removed(node: Node) -> None:
    assert node.stop(kill=True) == -9
    trees = node.folder / "cache" / "trees"
    (trees / ".new-x" / ".enclave").mkdir(parents=True)
    (trees / ".gone-y").mkdir()
    assert node.socket.exists()
    node.start()
    assert not node.leftovers()
    assert list(trees.iterdir()) == []
