"""An image of very many files: what a build holds of it in memory grows by little with each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.harness import run
from bench.index_bench import layout_of
from bench.many import write_layer
from support.command import Command
from support.programs import busybox
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

FILES = scaled(980_000, least=20_000)
FIXED, OF_A_FILE = 80_000_000, 120
"""Bytes. A million files may take 200 MB."""


def test_a_build_of_many_files_needs_little_memory(tmp_path: Path, native: Path, key: Path) -> None:
    layer = tmp_path / "layer.tar.gz"
    write_layer(layer, busybox(), FILES, range(65, 500))
    layout, _ = layout_of([layer], tmp_path, ["/hello"])
    command = Command(base=tmp_path, native=native)
    output = f"type=oci,dest={tmp_path / 'x.tar'}"
    arguments = command.arguments("build", f"oci:{layout}", "--key", key, "-o", output, "-q")
    first = run(arguments, command.variables())
    again = run([*arguments, "--set", "threads=9"], command.variables())
    print(f"{FILES} files: {first.peak / 1e6:.0f} MB, {again.peak / 1e6:.0f} MB")
    assert max(first.peak, again.peak) < FIXED + OF_A_FILE * FILES
