"""Servers on the fake of SGX hardware: connections that are kept, many at once, slow and rude clients."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.http_servers import (
    COMMANDS,
    MINIMAL,
    ask,
    connect,
    half_closed,
    keep_alive,
    large_bodies,
    many_at_once,
    rude_clients,
    server_tree,
    slow_client,
)
from support.programs import need, need_native, need_root
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.sgx_fake import Bench, Machine
    from support.tee import TeeTree

INTERRUPTED = {"interrupt": 50, "spurious": 70}
"""Each so many-th instruction that comes to the fake, with a signal and without."""
INTERRUPTS_LEAST = 20
REQUESTS_SPARED = 100
"""Of which the answer has left the enclave by a worker."""


@pytest.fixture(scope="module")
def server_machine(bench: Bench) -> Machine:
    return bench.machine(bench.program)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TeeTree]:
    """By runtime and settings, made when they are asked for."""
    need("umoci", "skopeo")
    need_native()
    need_root()
    return cache(lambda runtime, *settings: server_tree(runtime, tmp_path_factory.mktemp(runtime), *settings))


@pytest.mark.parametrize("fake", [{}, INTERRUPTED], ids=["quiet", "interrupted"])
@pytest.mark.parametrize("server", ["epoll", "go", "http.server"])
def test_server_serves(
    server: str,
    fake: dict[str, int],
    trees: Callable[..., TeeTree],
    server_machine: Machine,
    tmp_path: Path,
) -> None:
    runtime, *command = (COMMANDS | MINIMAL)[server]
    counts = tmp_path / "counts"
    with server_machine.serving(trees(runtime), *command, counts_file=counts, fake=fake) as served:
        keep_alive(served.port)
        many_at_once(served.port)
        rude_clients(served.port)
        if server not in MINIMAL:
            slow_client(served.port)
            large_bodies(served.port)
            half_closed(served.port)
        assert served.process.poll() is None
        assert not fake or served.counts()["aex"] > INTERRUPTS_LEAST


def test_request_over_a_connection_that_is_kept_takes_two_transitions(
    trees: Callable[..., TeeTree], server_machine: Machine, tmp_path: Path
) -> None:
    """A wait, which brings the request along, and the answer."""
    requests = scaled(2_000, least=200)
    with server_machine.serving(trees("epoll"), "/server", counts_file=tmp_path / "counts") as served:
        connection = connect(served.port)
        ask(connection)
        before = served.counts()
        for _ in range(requests):
            ask(connection)
        after = served.counts()
        connection.close()
    assert after["eexit"] + after["aex"] - before["eexit"] - before["aex"] <= 2 * requests + 2


def running(pid: int) -> list[str]:
    """Return which threads of a process want a processor."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    states = {task.name: (task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}
    return [task for task, state in states.items() if state == "R"]


def test_worker_spares_transitions_and_sleeps_when_there_is_nothing_to_do(
    trees: Callable[..., TeeTree], server_machine: Machine, tmp_path: Path
) -> None:
    """The host may have no processor to spare for a while: then the enclave is left as ever."""
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one processor: nobody could serve a call while its caller waits for it")
    tree = trees("epoll", "switchless=1")
    with server_machine.serving(tree, "/server", counts_file=tmp_path / "counts") as served:
        connection = connect(served.port)
        ask(connection)
        spared = 0
        while spared < REQUESTS_SPARED:
            before = served.counts()
            for _ in range(REQUESTS_SPARED):
                ask(connection)
            after = served.counts()
            spared += (
                2 * REQUESTS_SPARED + 2 - (after["eexit"] + after["aex"] - before["eexit"] - before["aex"])
            )
        while running(served.process.pid):
            pass
        ask(connection)
        connection.close()


@pytest.mark.parametrize("fake", [{}, INTERRUPTED], ids=["quiet", "interrupted"])
def test_server_serves_by_workers(
    fake: dict[str, int], trees: Callable[..., TeeTree], server_machine: Machine, tmp_path: Path
) -> None:
    runtime, *command = COMMANDS["go"]
    tree = trees(runtime, "switchless=2")
    with server_machine.serving(tree, *command, counts_file=tmp_path / "counts", fake=fake) as served:
        keep_alive(served.port)
        many_at_once(served.port)
        rude_clients(served.port)
        large_bodies(served.port)
        assert served.process.poll() is None
