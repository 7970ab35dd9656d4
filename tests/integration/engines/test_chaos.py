"""Pods with TEE containers come and go while runelets, runes and shims are killed.

What was not hit ends as it should, and nothing of any of them stays behind.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest

from support.cri import CGROUP_PARENT, Cri, CriError, control_groups
from support.guest import TEE
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Engine

pytestmark = pytest.mark.integration

AT_ONCE = 20
KILLED = 128 + signal.SIGKILL
UNKNOWN = 255
"""What containerd says of a container whose shim has gone without a word."""

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process: ``kind`` is runelet, rune or shim, ``id`` that of its container or sandbox."""

    pid: int
    kind: str
    id: str


def _processes(folder: Path) -> Iterator[Process]:
    """Find the processes of the engine in ``folder``."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = entry.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
            groups = entry.joinpath("cgroup").read_text()
        except OSError:
            continue
        line = " ".join(words)
        if CGROUP_PARENT in groups and "runelet" in words[0]:
            yield Process(pid=int(entry.name), kind="runelet", id=_ID.findall(groups)[-1])
        elif f"{folder}/" not in line or not _ID.search(line):
            continue
        elif "containerd-shim" in words[0]:
            yield Process(pid=int(entry.name), kind="shim", id=_ID.findall(line)[-1])
        elif words[0].endswith(("/rune", "/runc", "/enclavize-rune")) or "python" in words[0]:
            yield Process(pid=int(entry.name), kind="rune", id=_ID.findall(line)[-1])


@dataclass
class Killer:
    """Kills processes at random moments, until ``stop``.

    ``hit`` are ids of their containers or sandboxes; ``runtimes`` those where a runtime or a shim was hit.
    """

    folder: Path
    random: Random
    hit: set[str] = field(default_factory=set)
    runtimes: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(self.random.uniform(0.1, 0.6)):
            kind = self.random.choice(("runelet", "runelet", "runelet", "rune", "rune", "shim"))
            found = [process for process in _processes(self.folder) if process.kind == kind]
            if not found:
                continue
            chosen = self.random.choice(found)
            self.hit.add(chosen.id)
            if kind != "runelet":
                self.runtimes.add(chosen.id)
            with suppress(ProcessLookupError):
                os.kill(chosen.pid, signal.SIGKILL)
                self.counts[kind] += 1


@dataclass(frozen=True, kw_only=True)
class Life:
    """What became of a container; ``code`` None: it could not be asked, for an engine's reason."""

    wanted: int
    code: int | None
    ids: frozenset[str]
    error: str = ""


def _live(cri: Cri, logs: Path, number: int) -> Life:
    """Let a pod live with a container that ends by itself, or is stopped."""
    wanted = max(0, number % 6 - 2) * 3
    ids: set[str] = set()
    code, error = None, ""
    try:
        pod = cri.pod("rune", logs / str(number))
        ids.add(pod.id)
        args = ("exit", str(wanted)) if wanted else ("wait",)
        container = cri.create(pod, TEE, args=args, name="only")
        ids.add(container)
        cri.on("StartContainer", container)
        if not wanted:
            _wait_for_text(cri, container, logs / str(number) / "only.log", "ready")
            time.sleep(0.1 * (number % 10))
            cri.stop(container, 30)
        code = cri.wait(container, logs / str(number) / "only.log").code
    except CriError as refused:
        error = str(refused)
    for pod_id in ids:
        with suppress(CriError):
            cri.remove(pod_id)
    return Life(wanted=wanted, code=code, ids=frozenset(ids), error=error)


def _wait_for_text(cri: Cri, container: str, log: Path, text: str) -> None:
    """Until the container says so, or has ended."""
    for _ in range(600):
        if log.exists() and text in log.read_text():
            return
        if cri.state(container) != "RUNNING":
            return
        time.sleep(0.05)


def _clean(cri: Cri) -> None:
    """As a kubelet does, again and again."""
    for _ in range(60):
        for pod in cri.pods():
            with suppress(CriError):
                cri.remove(pod)
        if not cri.pods() and not cri.containers():
            return
        time.sleep(0.5)


def _leftovers(
    cri: Cri, folder: Path, ids: set[str], interrupted: set[str], before: set[Path]
) -> dict[str, list[str]]:
    """Return what is still there of containers that are gone, and was not ``before``.

    runc that is killed between making a control group and writing its state, or while it removes that, leaves
    it: no later command of any runtime hears of it. So do ``interrupted`` ones, then, under runc itself; of
    some whose shim was killed, containerd leaves the bundle.
    """
    state = Path("/run/containerd/runc/k8s.io")
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    groups = {path for path in control_groups() if path.name != CGROUP_PARENT[1:]} - before
    states = {path.name for path in state.iterdir()} if state.is_dir() else set()
    bundles = {path.name for path in (folder / "state").glob("io.containerd.runtime.v2.task/k8s.io/*")}
    found = {
        "pods": cri.pods(),
        "containers": cri.containers(),
        "processes": [str(process) for process in _processes(folder)],
        "control groups": [str(path) for path in groups if path.name not in interrupted],
        "mounts": [path for path in mounts if path.startswith(f"{folder}/state/")],
        "states": sorted(states & (ids - interrupted)),
        "bundles": sorted(bundles - interrupted),
        "plans": [str(path) for path in Path("/run/rune/plans").glob(".new-*")],
    }
    return {kind: items for kind, items in found.items() if items}


def test_nothing_stays_behind_of_what_was_killed(containerd: Engine, tmp_path: Path) -> None:
    cri = Cri(containerd.command[-1])
    before = set(control_groups())  # of a run of this test that was killed itself
    seed = SystemRandom().randrange(1 << 32)
    killer = Killer(folder=containerd.folder, random=Random(seed))
    thread = threading.Thread(target=killer.run)
    with tempfile.TemporaryDirectory(prefix="chaos-") as logs:
        thread.start()
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                numbers = range(scaled(200, least=AT_ONCE))
                lives = list(pool.map(lambda number: _live(cri, Path(logs), number), numbers))
        finally:
            killer.stop.set()
            thread.join()
        _clean(cri)
    for life in lives:
        if life.ids.isdisjoint(killer.hit):  # without ids it is the sandbox that was hit, before it had one
            assert not life.ids or (life.code, life.error) == (life.wanted, ""), (seed, life)
        else:
            assert life.code in (life.wanted, KILLED, UNKNOWN, None), (seed, life)
    ids = set().union(*(life.ids for life in lives)) | killer.hit
    interrupted = killer.runtimes.union(
        *(life.ids for life in lives if not life.ids.isdisjoint(killer.runtimes))
    )
    left = _leftovers(cri, containerd.folder, ids, interrupted, before)
    for _ in range(40):
        if left:
            time.sleep(0.25)
            left = _leftovers(cri, containerd.folder, ids, interrupted, before)
    assert not left, (seed, killer.counts)
    ended = Counter(life.code for life in lives)
    assert ended.total() == len(lives)
    for name in interrupted:
        shutil.rmtree(f"/run/containerd/runc/k8s.io/{name}", ignore_errors=True)
    # After all that it works as before.
    life = _live(cri, tmp_path, 3)
    assert (life.code, life.error) == (3, "")
    print(f"killed {dict(killer.counts)}, ended {dict(ended)}")
