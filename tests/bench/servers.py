"""Servers under load, side by side: native, in the enclave (simulation), gVisor, Gramine where it is there.

Clients work on the same processors, so figures of fast servers are in part those of the client.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row
from bench.server_programs import Client, Load, ask, programs
from bench.server_sides import running, sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.server_programs import Program
    from bench.server_sides import Side

ROUNDS = 2
SECONDS = 2
CONNECTIONS = 8
TARGETS = {
    ("epoll server in C", Client.KEPT): 0.5,
    ("Go net/http", Client.KEPT): 0.8,
    ("Node http", Client.KEPT): 0.95,
}
"""Of the native rate. All rows are to be ahead of the other systems."""
FUTEXES = frozenset({"WAIT", "WAKE"})
"""OCALLs by which threads wait for each other: how many depends on what else the machine does."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one server at one place."""

    load: Load
    memory: float

    def __str__(self) -> str:
        return f"{self.load.rate:,.0f}/s p99 {self.load.p99:.2f} ms {self.memory / 1e6:.0f} MB"


def _once(program: Program, client: Client, side: Side) -> Figures:
    with running(program, side) as server:
        load = ask(client, server.port, program.path, connections=CONNECTIONS, seconds=SECONDS)
        return Figures(load=load, memory=server.memory)


def _ocalls(program: Program, client: Client, side: Side, folder: Path) -> str:
    """Return the OCALLs for a request, with many connections and with one; without those of a start."""
    idle, _ = _profile(program, client, side, 0, folder)
    told = []
    for connections in (CONNECTIONS, 1):
        ocalls, requests = _profile(program, client, side, connections, folder)
        ocalls.subtract(idle)
        futexes = sum(ocalls[name] for name in FUTEXES)
        told.append(f"{(ocalls.total() - futexes) / requests:.2f} + {futexes / requests:.2f}")
    return f"OCALLs + futexes {told[0]}, with one connection {told[1]}"


def _profile(
    program: Program, client: Client, side: Side, connections: int, folder: Path
) -> tuple[Counter[str], int]:
    """Return the numbers of OCALLs and of requests."""
    report = folder / "profile"
    profiled = replace(side, environment={**side.environment, "ENCLAVIZE_PROFILE": "json"})
    requests = 0
    with report.open("wb") as errors, running(program, profiled, errors=errors.fileno()) as server:
        if connections:
            load = ask(client, server.port, program.path, connections=connections, seconds=SECONDS)
            requests = load.count
    profile = json.loads(report.read_bytes().splitlines()[-1])
    return Counter({row["name"]: int(row["calls"]) for row in profile["ocalls"]}), requests


def _median(figures: Sequence[Figures]) -> Figures:
    return Figures(
        load=Load(
            rate=statistics.median(one.load.rate for one in figures),
            p99=statistics.median(one.load.p99 for one in figures),
            count=sum(one.load.count for one in figures),
        ),
        memory=statistics.median(one.memory for one in figures),
    )


def _row(program: Program, client: Client, base: Path) -> Row:
    places = sides(program, base)
    seen: dict[str, list[Figures]] = {name: [] for name in places}
    for _ in range(ROUNDS):
        for name, side in places.items():
            seen[name].append(_once(program, client, side))
    found = {name: _median(figures) for name, figures in seen.items()}
    ours = found.pop("ours")
    ocalls = _ocalls(program, client, places["ours"], base)
    share, target = ours.load.rate / found["native"].load.rate, TARGETS.get((program.name, client), 0.0)
    is_ahead = all(ours.load.rate > other.load.rate for name, other in found.items() if name != "native")
    return Row(
        name=f"{program.name}, {client.value}",
        target=f"{target} x native" if target else "ahead of others",
        ours=f"{ours} ({share:.2f} x), {ocalls}",
        peer=", ".join(f"{name} {figures}" for name, figures in found.items()),
        met=share >= target and is_ahead,
    )


def server_rows(base: Path, *, wanted: str = "") -> list[Row]:
    """Measure each server whose name has this in it, if there is wrk."""
    if shutil.which("wrk") is None:
        return []
    with tempfile.TemporaryDirectory(dir=base, prefix="servers-") as scratch:
        folder = Path(scratch)
        found = [program for program in programs(folder) if wanted in program.name]
        return [_row(program, client, folder) for program in found for client in program.clients]
