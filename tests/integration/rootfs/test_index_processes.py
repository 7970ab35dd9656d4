"""Builds that share a cache: at the same time, and killed at any moment."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from enclavize.progress import Reporter
from enclavize.rootfs.index import index_image
from support.images import build_image, directory, file, write_layout
from support.indexing import cache_of, image_of
from support.sample_tree import pattern
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

PROGRAM = """
import sys
from pathlib import Path
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.index import index_image

events = []
cache = BlobCache(Path(sys.argv[2]))
image = resolve(parse_location(sys.argv[1]), cache=cache, reporter=Reporter())
rootfs = index_image(image, cache=cache, reporter=Reporter(events.append))
print(len(rootfs), sum(event.kind == "cached" for event in events))
"""

LAYERS = [
    [directory(f"d{layer}"), *(file(f"d{layer}/{number}", pattern(20_000, number)) for number in range(300))]
    for layer in range(2)
]
PATHS = 1 + 2 * 301


def start(layout: Path, cache: Path) -> subprocess.Popen[str]:
    """Start another process that indexes the image."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, f"oci:{layout}:1", cache], stdout=subprocess.PIPE, text=True
    )


def test_processes_that_want_the_same_layers_read_them_once(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", {"1": build_image(LAYERS)})
    processes = [start(layout, tmp_path / "cache") for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [int(paths) for paths, _ in answers] == [PATHS] * 4
    assert sum(int(cached) for _, cached in answers) == 2 * 4 - 2


def test_a_build_killed_at_any_moment_does_no_harm(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", {"1": build_image(LAYERS)})
    cache = tmp_path / "cache"
    begun = time.monotonic()
    assert start(layout, tmp_path / "other").communicate(timeout=60)[0].split() == [str(PATHS), "0"]
    whole = time.monotonic() - begun
    random_ = random.Random(3)
    killed = 0
    for _ in range(scaled(200)):
        process = start(layout, cache)
        time.sleep(random_.uniform(0.4, 1.0) * whole)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if random_.random() < 0.5:
            shutil.rmtree(cache / "index", ignore_errors=True)
    assert killed
    image = image_of(tmp_path / "last", LAYERS, "gzip")
    rootfs = index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
    assert len(rootfs) == PATHS
    assert {path.suffix for path in (cache / "index").iterdir()} <= {".lock", ""}
    assert not [path for path in (cache / "index").iterdir() if path.name.startswith(".")]
