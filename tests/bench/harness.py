"""Timing whole commands: wall clock and peak memory, ours and a peer's in the same run."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run: seconds of wall clock, bytes of peak memory (the largest process), what it printed."""

    seconds: float
    peak: int
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
    """Run one command to its end, standard error to nowhere; its failure is ours."""
    start = time.perf_counter()
    words = list(map(str, command))
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        stdout = process.stdout.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        duration = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    return Sample(seconds=duration, peak=usage.ru_maxrss * 1024, stdout=stdout)


def median(repeat: int, once: Callable[[], Sample]) -> Sample:
    """Run ``once`` several times; return the median time and the highest peak."""
    samples = [once() for _ in range(repeat)]
    return Sample(
        seconds=statistics.median(sample.seconds for sample in samples),
        peak=max(sample.peak for sample in samples),
        stdout=samples[-1].stdout,
    )


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
