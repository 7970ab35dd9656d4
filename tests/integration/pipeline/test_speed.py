"""A short form of the benchmark: what costs much more than was recorded is told, and fails nothing."""

from __future__ import annotations

import json
import statistics
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bench
from bench.index_bench import layout_of
from bench.many import write_layer
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.index import index_image
from support.programs import busybox

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDED = json.loads((Path(bench.__path__[0]) / "recorded.json").read_text())
"""Ratios of processor times."""
FACTOR = 1.5
"""More than the recorded ratio by this is told."""
FILES, ROUNDS = 3_000, 3


@pytest.mark.filterwarnings("default")
def test_the_index_pass_beside_inflating(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar.gz"
    write_layer(layer, busybox(), FILES, range(100, 3000))
    layout, _ = layout_of([layer], tmp_path)
    cache = BlobCache(tmp_path / "cache")
    image = resolve(parse_location(f"oci:{layout}"), cache=cache, reporter=Reporter())
    index = partial(index_image, image, cache=cache, reporter=Reporter(), refresh=True)
    _compare("index pass / inflating", _processor_time(index), _processor_time(partial(_inflate, layer)))
    assert len(index()) > FILES


def _compare(name: str, ours: float, peer: float) -> None:
    if ours > FACTOR * RECORDED[name] * peer:
        warnings.warn(f"{name}: {ours / peer:.1f}, recorded {RECORDED[name]}", stacklevel=2)


def _inflate(layer: Path) -> None:
    with layer.open("rb") as stream:
        for _ in decompressed(stream, "layer"):
            pass


def _processor_time(action: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        before = time.process_time()
        action()
        times.append(time.process_time() - before)
    return statistics.median(times)
