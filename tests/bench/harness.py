"""Timing whole commands: wall clock, processors and peak memory, ours and a peer's in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


STARTER = Path(__file__).with_name("starter.py")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run: seconds of wall clock and of processors, bytes of peak memory, what it printed."""

    seconds: float
    processor: float
    peak: int
    """Of the largest process; that of Python's own, some 9 MB, is the least that is told."""
    stdout: bytes


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. ``met`` is None where the row only informs."""

    name: str
    target: str
    ours: str
    peer: str
    met: bool | None


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Sample:
    """Run one command to its end. Its failure is ours; standard error is told then only."""
    words = list(map(str, command))
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as report:
        done = subprocess.run(
            [sys.executable, "-I", "-S", STARTER, str(writer), *words],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(writer,), check=False,
        )  # fmt: skip
        os.close(writer)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace")
            raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{said}")
        return Sample(stdout=done.stdout, **json.load(report))


def median(repeat: int, once: Callable[[], Sample]) -> Sample:
    """Run ``once`` several times; return the median of all."""
    return median_of([once() for _ in range(repeat)])


def median_of(samples: Sequence[Sample]) -> Sample:
    """Return the median times and the highest peak."""
    return Sample(
        seconds=statistics.median(sample.seconds for sample in samples),
        processor=statistics.median(sample.processor for sample in samples),
        peak=max(sample.peak for sample in samples),
        stdout=samples[-1].stdout,
    )


def times(sample: Sample) -> str:
    """Return both times of a run for the table."""
    return f"{seconds(sample.seconds)} (CPU {seconds(sample.processor)})"


def seconds(value: float) -> str:
    """Return a time for the table."""
    return (
        f"{value * 1e9:.0f} ns"
        if value < 1e-5
        else f"{value * 1e3:.1f} ms"
        if value < 1
        else f"{value:.2f} s"
    )


def megabytes(value: float) -> str:
    """Return a size for the table."""
    return f"{value / 1e6:.1f} MB"
