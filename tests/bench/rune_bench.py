"""What rune's front end adds to runc for an ordinary bundle."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from bench.harness import Row, median, run, seconds
from enclavize.resources import native_file

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 101
PROGRAM = "/bin/true"
"""Stands for runc, whose own time would hide the difference."""

TARGET = 0.001


def rune_rows(base: Path) -> list[Row]:
    """Measure ``rune create`` up to the start of runc, against starting the same program directly."""
    bundle = base / "rune-bundle"
    (bundle / "rootfs").mkdir(parents=True)
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    environment = {**os.environ, "ENCLAVIZE_RUNC": PROGRAM}
    rune = native_file("rune")
    arguments: list[str | Path] = [
        "--root",
        base / "state",
        "--log",
        base / "log",
        "create",
        "--bundle",
        bundle,
        "bench",
    ]
    direct = median(ROUNDS, lambda: run([PROGRAM, *arguments], environment)).seconds
    through = median(ROUNDS, lambda: run([rune, *arguments], environment)).seconds
    return [
        Row(
            name="rune before runc, ordinary bundle",
            target="< 1 ms",
            ours=seconds(max(through - direct, 1e-6)),
            peer="-",
            met=through - direct < TARGET,
        )
    ]
