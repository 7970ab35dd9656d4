"""``enclavize verify`` of a ~500 MB image that is indexed: what hashing its layers once more costs."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

from bench.harness import Row, seconds
from bench.images import large_image
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.pipeline import verify
from enclavize.progress import Reporter
from enclavize.rootfs.index import index_image
from enclavize.tee.expectations import Expectations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.oci.location import Location

ROUNDS = 9
FIRST_ROUNDS = 5
FIRST_TARGET = 1.1
TARGET = 1.25
"""Passes over the stored bytes, beyond what verify costs without any. One is right, the rest is noise."""


def verify_rows(base: Path) -> list[Row]:
    """Measure on the large image."""
    source = large_image().layout
    own = {
        "XDG_CACHE_HOME": str(base / "verify-cache"),
        "XDG_DATA_HOME": str(base / "data"),
        "HOME": str(base),
    }
    tee = base / "verify-layout"
    with patch.dict(os.environ, own):
        enclavize = [sys.executable, "-m", "enclavize"]
        signing = ["--debug", "--progress", "quiet"]
        output = f"type=oci,tar=false,dest={tee}"
        subprocess.run([*enclavize, "build", f"oci:{source}:1", *signing, "-o", output], check=True)
        return [_first_row(tee), _row(tee)]


def _first_row(tee: Path) -> Row:
    """Compare with the index pass alone, by turns."""
    location = parse_location(f"oci:{tee}")
    rounds = []
    for _ in range(FIRST_ROUNDS):
        with TemporaryDirectory(dir=tee.parent) as cache, patch.dict(os.environ, XDG_CACHE_HOME=cache):
            image = resolve(location, cache=BlobCache(), reporter=Reporter())
            index = partial(index_image, image, cache=BlobCache(), reporter=Reporter())
            alone = _wall_time(index)
        with TemporaryDirectory(dir=tee.parent) as cache, patch.dict(os.environ, XDG_CACHE_HOME=cache):
            rounds.append((alone, _wall_time(partial(_verify, location))))
    alone, whole = (statistics.median(times) for times in zip(*rounds, strict=True))
    return Row(
        name="verify of the large image, nothing cached",
        target=f"< {FIRST_TARGET} x the index pass",
        ours=f"{seconds(whole)}, {whole / alone:.2f} x",
        peer=f"index pass: {seconds(alone)}",
        met=whole < FIRST_TARGET * alone,
    )


def _verify(location: Location) -> None:
    verify.verify_image(location, Expectations(), insecure=False, reporter=Reporter())


def _row(tee: Path) -> Row:
    once = partial(_verify, parse_location(f"oci:{tee}"))
    blobs = sorted((tee / "blobs" / "sha256").iterdir())
    stored = sum(path.stat().st_size for path in blobs)
    once()
    rounds = []
    for _ in range(ROUNDS):
        with patch.object(verify, "kept_layers", lambda _image, _form: range(0)):
            without = _processor_time(once)
        rounds.append((without, _processor_time(once), _processor_time(lambda: list(map(_digest, blobs)))))
    without, whole, one_pass = map(min, zip(*rounds, strict=True))
    passes = (whole - without) / one_pass
    return Row(
        name=f"verify of an indexed image, {stored / 1e6:.0f} MB stored: hash passes for its layers",
        target=f"< {TARGET}",
        ours=f"{passes:.2f} of {seconds(whole)}",
        peer=f"one pass: {seconds(one_pass)}",
        met=passes < TARGET,
    )


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _wall_time(once: Callable[[], object]) -> float:
    before = time.perf_counter()
    once()
    return time.perf_counter() - before


def _processor_time(once: Callable[[], object]) -> float:
    before = time.process_time()
    once()
    return time.process_time() - before
