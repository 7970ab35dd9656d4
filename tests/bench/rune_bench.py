"""What rune adds to runc: its front end for an ordinary bundle, admission for a TEE bundle."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from bench.harness import Row, median, run, seconds
from enclavize.resources import native_file
from support.rune import ENTRYPOINT, RuneInstallation, tee_image, write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from bench.harness import Sample

ROUNDS = 101
PROGRAM = "/bin/true"
"""Stands for runc, whose own time would hide the difference."""

TARGET = 0.001
TEE_ROUNDS = 21


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
        ),
        _tee_row(base),
    ]


def _tee_row(base: Path) -> Row:
    """Measure ``rune create`` of a TEE image that was verified before, up to the start of runc."""
    bundle = base / "tee-bundle"
    bundle.mkdir()
    tee_image(base / "tee-image").copy(bundle / "rootfs")
    (base / "installed").mkdir()
    rune = RuneInstallation.create(base / "installed").rune
    config = write_bundle(bundle, [ENTRYPOINT]) / "config.json"
    written = config.read_bytes()
    environment = {**os.environ, "ENCLAVIZE_RUNC": PROGRAM, "ENCLAVIZE_SIMULATE": "1"}

    def create() -> Sample:
        config.write_bytes(written)
        return run([rune, "create", "--bundle", bundle, "bench"], environment)

    first = create().seconds
    known = median(TEE_ROUNDS, create).seconds
    return Row(
        name="rune before runc, TEE bundle, verified before",
        target="-",
        ours=seconds(known),
        peer=f"{seconds(first)} the first time",
        met=None,
    )
