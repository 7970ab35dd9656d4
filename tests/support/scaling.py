"""Tell whether work grows with its input or faster: by processor time, on any machine."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST = 0.01
"""Seconds that are long enough to be compared."""

LARGEST = 1 << 19
"""What takes less for so many cannot be dear."""

FACTOR = 4
SLACK = 2
"""Linear work takes FACTOR times as long for FACTOR times the input, and up to SLACK times that by chance;
quadratic work takes FACTOR * FACTOR times as long."""

ATTEMPTS = 5


def check_linear(make: Callable[[int], Callable[[], object]], size: int) -> None:
    """Fail unless the work that ``make`` prepares is linear in its argument. It starts with ``size``."""
    while (short := seconds(make(size))) < LEAST:
        size *= 2
        if size > LARGEST:
            return
    ratios = []
    for _ in range(ATTEMPTS):
        ratios.append(seconds(make(FACTOR * size)) / short)
        if ratios[-1] < FACTOR * SLACK:
            return
        short = max(short, seconds(make(size)))  # it may have been quick by chance
    raise AssertionError(f"{FACTOR} times {size} takes {min(ratios):.0f} times as long")


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of this thread."""
    gc.collect()
    gc.disable()
    try:
        start = time.thread_time()
        work()
        return time.thread_time() - start
    finally:
        gc.enable()
