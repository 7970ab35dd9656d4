"""Programs on Gramine in direct mode: native, a manifest as written by hand, and images made here."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.gramine_programs import measured_programs
from bench.gramine_sides import Run, places, run_once, trusted_names
from bench.harness import Row
from bench.server_programs import free_port
from support.stand_in_toolchain import GRAMINE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.gramine_programs import Measured

_ROUNDS = 10
_SECONDS = 1
_CONNECTIONS = 8
_RATE, _START = 0.9, 0.1
"""Goals of a traced image: of the rate with the manifest by hand; seconds that it starts later, at most."""


def gramine_rows(base: Path, *, wanted: str = "") -> list[Row]:
    """Measure each program whose name has this in it, where a real Gramine is."""
    if GRAMINE_VARIABLE not in os.environ:
        return []
    return [_row(program, base) for program in measured_programs(free_port()) if wanted in program.name]


def _row(program: Measured, base: Path) -> Row:
    with tempfile.TemporaryDirectory(dir=base, prefix="gramine-") as scratch:
        made = places(program, Path(scratch))
        runs: dict[str, list[Run]] = {name: [] for name in made}
        for _ in range(_ROUNDS):
            for name, place in made.items():
                runs[name].append(run_once(program, place, connections=_CONNECTIONS, seconds=_SECONDS))
        names = {name: f"{trusted_names(place)} names" for name, place in made.items() if name != "native"}
    found = {name: _median(several) for name, several in runs.items()}
    told = {name: f"{name}: {_told(run)} {names.get(name, '')}".strip() for name, run in found.items()}
    hand, traced = found["by hand"], found["traced"]
    return Row(
        name=f"{program.name} on Gramine",
        target=f"traced: {_RATE} x the rate by hand, start + {_START} s",
        ours=f"{told['default']}; {told['traced']}",
        peer=f"{told['native']}; {told['by hand']}",
        met=traced.rate >= _RATE * hand.rate and traced.seconds <= hand.seconds + _START,
    )


def _told(run: Run) -> str:
    load = f", {run.rate:,.0f}/s, {run.memory / 1e6:.0f} MB" if run.rate else ""
    return f"{run.seconds:.2f} s{load}"


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        seconds=statistics.median(run.seconds for run in runs),
        rate=statistics.median(run.rate for run in runs),
        memory=statistics.median(run.memory for run in runs),
    )
