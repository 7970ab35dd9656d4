"""A conversion outlasts its container, its daemon and its engine."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.cri import CriError
from support.guest import ORDINARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cri import Cri, Pod
    from support.engines import Engine
    from support.node import Node
    from support.signing_service import Service

pytestmark = pytest.mark.integration


@pytest.fixture
def halted(service: Service) -> Iterator[Callable[[], None]]:
    """Halt the service, so that a conversion stands still where it is signed; return what lets it go on."""
    assert service.process
    service.process.send_signal(signal.SIGSTOP)
    yield lambda: service.process.send_signal(signal.SIGCONT) if service.process else None
    service.process.send_signal(signal.SIGCONT)


def _waiting_rune(rune: Path) -> int:
    """Wait until a rune waits for the daemon."""
    for _ in range(1200):
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                files = (process / "fd").iterdir() if (process / "exe").readlink() == rune else ()
                if any(str(file.readlink()).startswith("socket:") for file in files):
                    return int(process.name)
        time.sleep(0.05)
    pytest.fail("no rune waits")


def _converting(node: Node) -> None:
    for _ in range(1200):
        if node.status()["running"] == 1:
            return
        time.sleep(0.05)
    pytest.fail("nothing is converted")


def test_a_conversion_outlasts_who_has_asked_for_it(
    cri: Cri, pod: Pod, node: Node, rune: Path, halted: Callable[[], None]
) -> None:
    node.run("forget", "--all")
    before = node.status()["converted"]
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(cri.run, pod, ORDINARY, args=["exit", "0"])
        _converting(node)
        os.kill(_waiting_rune(rune), signal.SIGKILL)
        with pytest.raises(CriError):
            run.result()
    halted()
    assert cri.run(pod, ORDINARY, args=["exit", "5"]).code == 5
    assert node.status()["converted"] == before + 1
    assert not node.leftovers()


def test_a_daemon_that_is_killed_while_it_converts(
    cri: Cri, pod: Pod, node: Node, halted: Callable[[], None]
) -> None:
    node.run("forget", "--all")
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(cri.run, pod, ORDINARY, args=["exit", "0"])
        _converting(node)
        assert node.stop(kill=True) == -9
        with pytest.raises(CriError, match="ended before it had answered"):
            run.result()
    halted()
    node.start()
    assert node.status()["conversions"] == []
    assert cri.run(pod, ORDINARY, args=["exit", "5"]).code == 5
    assert not node.leftovers()


def test_an_engine_that_is_started_again(
    cri: Cri, pod: Pod, pods: Callable[..., Pod], node: Node, containerd: Engine
) -> None:
    """What runs goes on, what is created waits for the new one, and nothing is converted again."""
    assert containerd.restart
    assert cri.run(pod, ORDINARY, args=["exit", "3"]).code == 3
    converted = node.status()["converted"]
    running = cri.create(pod, ORDINARY, args=["wait"], name="running")
    cri.on("StartContainer", running)
    _ready(pod.logs / "running.log")
    created = cri.create(pod, ORDINARY, args=["exit", "6"], name="created")
    containerd.restart()
    _until_it_answers(cri)
    assert cri.state(running) == "RUNNING"
    cri.on("StartContainer", created)
    assert cri.wait(created, pod.logs / "created.log").code == 6
    cri.stop(running, 30)
    assert cri.run(pods(), ORDINARY, args=["exit", "5"]).code == 5
    assert node.status()["converted"] == converted
    assert not node.leftovers()


def _until_it_answers(cri: Cri) -> None:
    for _ in range(600):
        with suppress(CriError):
            cri.version()
            return
        time.sleep(0.05)
    pytest.fail("the engine does not answer")


def _ready(log: Path) -> None:
    for _ in range(1200):
        if log.exists() and "ready" in log.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"the program does not become ready: {log.read_text() if log.exists() else 'no log'}")


def test_what_a_container_has_is_not_forgotten(cri: Cri, pod: Pod, node: Node) -> None:
    container = cri.create(pod, ORDINARY, args=["wait"], name="held")
    cri.on("StartContainer", container)
    log = pod.logs / "held.log"
    _ready(log)
    held = [item["key"] for item in node.status()["conversions"] if item["in_use"]]
    assert held
    done = node.run("forget", "--all")
    assert all(f"in use: {key}" in done.stderr for key in held)
    assert cri.state(container) == "RUNNING", log.read_text()
    assert cri.exec_sync(container, "/.enclave/bin/runelet", "nothing").exit_code != 0
    cri.stop(container, 30)
    cri.on("RemoveContainer", container)
    for _ in range(100):  # containerd removes the bundle after it has answered
        if node.run("forget", "--all").returncode == 0:
            break
    assert not node.status()["conversions"]
