"""``enclavize check`` of the ~500 MB image, and what looking into ELF files costs when layers are indexed."""

from __future__ import annotations

import os
import resource
import statistics
import sys
from typing import TYPE_CHECKING
from unittest.mock import patch

from bench.harness import Row, run, seconds
from bench.images import large_image
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs import elf
from enclavize.rootfs.index import index_image

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.image import Image

ROUNDS = 5
CHECK_TARGET = 2.0
"""Seconds."""
OVERHEAD_TARGET = 0.3
NO_MAGIC = b"\0\0\0\0"
"""What no file begins with that the scanner would look into."""


def check_rows(base: Path) -> list[Row]:
    """Measure on the image in ``base/layout``, which is made if it is not there."""
    layout = base / "layout" if (base / "layout").exists() else large_image(base)[0]
    return [_check_row(f"oci:{layout}:1", base), _overhead_row(f"oci:{layout}:1", base)]


def _check_row(image: str, base: Path) -> Row:
    environment = {**os.environ, "XDG_CACHE_HOME": str(base / "check-cache"), "HOME": str(base)}
    command = [sys.executable, "-m", "enclavize", "check", image, "--progress", "quiet"]
    run(command, environment)
    duration = statistics.median(run(command, environment).seconds for _ in range(ROUNDS))
    return Row(
        name="check of a 490 MB image against all profiles, layers indexed",
        target=f"< {CHECK_TARGET:.0f} s",
        ours=seconds(duration),
        peer="-",
        met=duration < CHECK_TARGET,
    )


def _overhead_row(name: str, base: Path) -> Row:
    cache = BlobCache(base / "index-cache")
    image = resolve(parse_location(name), cache=cache, reporter=Reporter())
    hashing, whole = [], []
    for _ in range(ROUNDS):
        with patch.object(elf, "MAGIC", NO_MAGIC):
            hashing.append(_processor_time(image, cache))
        whole.append(_processor_time(image, cache))
    overhead = min(whole) / min(hashing) - 1
    return Row(
        name="indexing over hashing alone, processor time",
        target=f"< {OVERHEAD_TARGET:.0%}",
        ours=f"{overhead:.0%} ({seconds(min(whole))})",
        peer="-",
        met=overhead < OVERHEAD_TARGET,
    )


def _processor_time(image: Image, cache: BlobCache) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    index_image(image, cache=cache, reporter=Reporter(), refresh=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
