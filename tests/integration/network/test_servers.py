"""Servers as people write them, in enclaves: what clients do to them, and what they get, is as natively."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.http_servers import (
    COMMANDS,
    MINIMAL,
    half_closed,
    keep_alive,
    large_bodies,
    many_at_once,
    raw,
    rude_clients,
    server_tree,
    slow_client,
)
from support.programs import go_program, need, need_root
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.tee import TeeTree

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TeeTree]:
    """TEE images by runtime, made when they are asked for."""
    need("umoci", "skopeo")
    need_root()
    return {}


def tree_of(runtime: str, trees: dict[str, TeeTree], factory: pytest.TempPathFactory) -> TeeTree:
    if runtime not in trees:
        trees[runtime] = server_tree(runtime, factory.mktemp(runtime))
    return trees[runtime]


@contextlib.contextmanager
def running(tree: TeeTree, *argv: str) -> Iterator[int]:
    """Run a server; yields its port. It must be there until it is told to go."""
    with tree.start(*argv) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            port = process.stdout.readline()
            assert port.strip().isdigit(), process.stderr.read().decode(errors="replace")
            yield int(port)
            assert process.poll() is None, process.stderr.read().decode(errors="replace")
        finally:
            process.kill()


OCALLS_OF_A_REQUEST = 2
"""Of the network, for a request over a connection that stays: the wait, with the request, and the answer."""
UNLUCKY = 0.1
"""Of requests: a look before the wait that another thread's doings send to the host after all."""


OCALLS_OF_A_START = 100
"""Of the network, until there are connections, and to take them."""


def ocalls_of(report: bytes) -> dict[str, int]:
    """Return the numbers of a profile's OCALLs."""
    profile = json.loads(report.splitlines()[-1])
    return {row["name"]: int(row["calls"]) for row in profile["ocalls"]}


@pytest.mark.parametrize("server", COMMANDS)
def test_a_server_serves(
    server: str, trees: dict[str, TeeTree], tmp_path_factory: pytest.TempPathFactory
) -> None:
    runtime, *argv = COMMANDS[server]
    with running(tree_of(runtime, trees, tmp_path_factory), *argv) as port:
        keep_alive(port)
        large_bodies(port)
        many_at_once(port)
        slow_client(port)
        rude_clients(port)
        if server != "asyncio":  # it was written to end with its client's words
            half_closed(port)
    with pytest.raises(ConnectionRefusedError):
        raw(port)


def load(folder: Path, port: int, connections: int) -> int:
    """Make requests over connections that stay, as fast as may be; return how many."""
    count = scaled(200_000, least=8_000)
    program = go_program(Path(__file__).parent / "load", folder / "load")
    arguments = [f"127.0.0.1:{port}", str(connections), str(count)]
    subprocess.run([program, *arguments], check=True, timeout=300)
    return count


@pytest.mark.parametrize(
    ("server", "connections"), [("epoll", 1), ("epoll", 8), ("go", 8), ("node", 1), ("node", 8)], ids=str
)
def test_an_edge_is_never_lost_and_costs_no_ocall_too_many(
    server: str, connections: int, trees: dict[str, TeeTree], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With Go several threads wait, read until nothing is left, and are told of what comes then."""
    runtime, *argv = (COMMANDS | MINIMAL)[server]
    tree = tree_of(runtime, trees, tmp_path_factory)
    with tree.start(*argv, env={"ENCLAVIZE_PROFILE": "json"}) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            port = int(process.stdout.readline())
            count = load(tmp_path_factory.mktemp("load"), port, connections)
            process.terminate()
            ocalls = ocalls_of(process.stderr.read())
        finally:
            process.kill()
    network = {name: calls for name, calls in ocalls.items() if name.startswith(("SOCKET", "EVENTS", "POLL"))}
    print(f"{server}, OCALLs of the network for a request:", sum(network.values()) / count)
    most = OCALLS_OF_A_REQUEST + (0 if server in MINIMAL else UNLUCKY)
    assert sum(network.values()) <= most * count + OCALLS_OF_A_START, network
