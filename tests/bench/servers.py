"""HTTP servers under load, side by side: native, in the enclave (simulation), in gVisor where it is there.

The load comes from wrk on the same processors, so figures of fast servers are in part those of the client.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row
from support.programs import REPOSITORY, go_program, static_musl, with_libraries
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SERVERS = REPOSITORY / "tests" / "integration" / "network" / "servers"
ROUNDS = 3
SECONDS = 3
CONNECTIONS = 8
GVISOR = ("runsc", "--rootless", "--network=host", "--ignore-cgroups", "do")
TARGETS = {"epoll server in C": 0.5, "Go net/http": 0.8, "Node http": 0.95}
"""Of the native rate."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What wrk saw: requests a second, and milliseconds that 99 of 100 did not take."""

    rate: float
    p99: float


@contextlib.contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[int]:
    """Run a server that prints its port."""
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _load(port: int, seconds: int = SECONDS) -> Load:
    command = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/")
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec: +([\d.]+)", told)
    p99 = re.search(r"99% +([\d.]+)(us|ms|s)\b", told)
    if rate is None or p99 is None or "Non-2xx" in told:
        raise SystemExit(f"wrk: {told}")
    return Load(rate=float(rate[1]), p99=float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]])


def _ocalls(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> float:
    """Return the OCALLs for a request over a connection that stays."""
    report = folder / "profile"
    variables = {**os.environ, **environment, "ENCLAVIZE_PROFILE": "json"}
    with (
        report.open("wb") as errors,
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout is not None
            count = _load(int(process.stdout.readline()), 2).rate * 2
            process.terminate()
            process.wait(60)
        finally:
            process.kill()
    profile = json.loads(report.read_bytes().splitlines()[-1])
    return sum(int(row["calls"]) for row in profile["ocalls"]) / count


def _roots(base: Path) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Make a root file system for each server that can be had: its name, the folder, the command."""
    root = base / "epoll"
    root.mkdir()
    static_musl(SERVERS / "epoll.c", root / "server")
    yield "epoll server in C", root, ("/server",)
    if shutil.which("go") is not None:
        root = base / "go"
        root.mkdir()
        go_program(SERVERS, root / "server")
        yield "Go net/http", root, ("/server",)
    node = shutil.which("node", path="/usr/bin:/usr/local/bin")
    if node is not None:
        root = base / "node"
        (root / "bin").mkdir(parents=True)
        shutil.copy(node, root / "bin" / "node")
        with_libraries(root, Path(node))
        shutil.copy(SERVERS / "server.js", root)
        yield "Node http", root, ("/bin/node", "/server.js")


def _median(loads: Sequence[Load]) -> Load:
    return Load(
        rate=statistics.median(load.rate for load in loads), p99=statistics.median(load.p99 for load in loads)
    )


def _row(name: str, root: Path, argv: Sequence[str], base: Path) -> Row:
    image = ordinary_image(base / f"{root.name}-layout", root, config=["--config.cmd", argv[0]])
    options = ("--debug", "--allow-args", "--set", "memory=2G", "--set", "threads=32")
    folder = base / f"{root.name}-tee"
    folder.mkdir()
    tree = Converter.create(folder).tree(image, "tree", *options)
    runelet = str(tree.root / ".enclave" / "bin" / "runelet")
    environment = {
        "ENCLAVIZE_ROOT": str(tree.root), "ENCLAVIZE_INSTANCE": str(tree.instance), "ENCLAVIZE_SIMULATE": "1",
    }  # fmt: skip
    chroot = ("chroot", str(root), *argv)
    sides: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
        "native": (chroot, {}),
        "ours": ((runelet, *argv), environment),
    }
    if shutil.which("runsc") is not None:
        sides["gVisor"] = ((*GVISOR, *chroot), {})
    loads: dict[str, list[Load]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, (command, variables) in sides.items():
            with _running(command, variables) as port:
                loads[side].append(_load(port))
    found = {side: _median(measured) for side, measured in loads.items()}
    ours, native = found.pop("ours"), found["native"]
    ocalls = _ocalls((runelet, *argv), environment, folder)
    share = ours.rate / native.rate
    return Row(
        name=f"{name}, {CONNECTIONS} connections",
        target=f"{TARGETS[name]} x native",
        ours=f"{ours.rate:,.0f}/s ({share:.2f} x), p99 {ours.p99:.2f} ms, {ocalls:.1f} OCALLs",
        peer=", ".join(f"{side} {load.rate:,.0f}/s p99 {load.p99:.2f} ms" for side, load in found.items()),
        met=share >= TARGETS[name],
    )


def server_rows(base: Path) -> list[Row]:
    """Measure each server, if there is wrk."""
    if shutil.which("wrk") is None:
        return []
    with tempfile.TemporaryDirectory(dir=base, prefix="servers-") as scratch:
        folder = Path(scratch)
        return [_row(name, root, argv, folder) for name, root, argv in _roots(folder)]
