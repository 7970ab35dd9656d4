"""Servers on the fake of SGX hardware: connections that are kept, many at once, slow and rude clients."""

from __future__ import annotations

from functools import cache
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
    from pathlib import Path

    from support.sgx_fake import Bench, Machine
    from support.tee import TeeTree

INTERRUPTED = {"interrupt": 50, "spurious": 70}
"""Each so many-th instruction that comes to the fake, with a signal and without."""
INTERRUPTS_LEAST = 20


@pytest.fixture(scope="module")
def server_machine(bench: Bench) -> Machine:
    return bench.machine(bench.program)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TeeTree]:
    """By runtime, made when they are asked for."""
    need("umoci", "skopeo")
    need_native()
    need_root()
    return cache(lambda runtime: server_tree(runtime, tmp_path_factory.mktemp(runtime)))


@pytest.mark.parametrize("fake", [{}, INTERRUPTED], ids=["quiet", "interrupted"])
@pytest.mark.parametrize("server", ["epoll", "go", "http.server"])
def test_server_serves(
    server: str,
    fake: dict[str, int],
    trees: Callable[[str], TeeTree],
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
    trees: Callable[[str], TeeTree], server_machine: Machine, tmp_path: Path
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
