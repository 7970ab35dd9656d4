"""Packing a tree into an Occlum file system image, beside copying it.

In memory: on a disk most of the time would be the kernel's, which makes a file in 13 us on a new ext4 and in
0.2 to 0.7 ms on one in use, for whoever asks.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.harness import Row, median_of, megabytes, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.harness import Sample

LARGE_FILES, LARGE = 40, 10_000_000
SMALL_FILES, SMALL = 5_000, 20_000
SIZE = LARGE_FILES * LARGE + SMALL_FILES * SMALL
ROUNDS = 3
RATE = 400e6
"""Bytes a second to reach, of the tree."""

PEAK = 60_000_000
"""Bytes of memory that Python, the command and 5,000 names need; a tenth of the tree would be more."""


def sefs_rows(base: Path) -> list[Row]:
    """Measure ``enclavize occlum sefs pack`` on a tree of 500 MB, with and without a key."""
    folder = base / "sefs"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={4 * SIZE}", "tmpfs", folder], check=True)
    try:
        return _rows(folder)
    finally:
        subprocess.run(["umount", folder], check=True)


def _rows(base: Path) -> list[Row]:
    tree = base / "sefs-tree"
    _make_tree(tree)
    key = base / "sefs-key"
    key.write_text(random.Random(1).randbytes(16).hex("-"))
    key.chmod(0o600)
    copy = _median(["cp", "-r", "--reflink=never", tree], base / "sefs-copy")
    peer = f"cp -r {_rate(copy)}"
    pack: list[str | Path] = [sys.executable, "-m", "enclavize", "occlum", "sefs", "pack", tree]
    kinds: dict[str, list[str | Path]] = {"integrity only": [], "encrypted": ["--key-file", key]}
    rows = []
    for kind, options in kinds.items():
        sample = _median([*pack, "--progress", "none", *options], base / "sefs-image")
        met = SIZE / sample.seconds >= RATE and sample.peak <= PEAK
        rows.append(
            Row(
                name=f"pack 500 MB as SEFS, {kind}",
                target=">= 400 MB/s, <= 60 MB",
                ours=f"{_rate(sample)}, {megabytes(sample.peak)}",
                peer=peer,
                met=met,
            )
        )
    return rows


def _make_tree(tree: Path) -> None:
    rng = random.Random(0)
    data = rng.randbytes(LARGE)
    tree.mkdir()
    for number in range(LARGE_FILES):
        (tree / f"large{number}").write_bytes(data)
    for number in range(SMALL_FILES):
        folder = tree / f"folder{number // 100}"
        folder.mkdir(exist_ok=True)
        offset = rng.randrange(LARGE - SMALL)
        (folder / f"small{number}").write_bytes(data[offset : offset + SMALL])


def _median(command: Sequence[str | Path], output: Path) -> Sample:
    samples = []
    for _ in range(ROUNDS):
        samples.append(run([*command, output]))
        shutil.rmtree(output)
    return median_of(samples)


def _rate(sample: Sample) -> str:
    return f"{SIZE / sample.seconds / 1e6:.0f} MB/s"
