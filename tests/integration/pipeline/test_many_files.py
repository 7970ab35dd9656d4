"""An image of very many files: what a build holds of it in memory grows by little with each."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from typing import TYPE_CHECKING

import pytest

from bench.harness import run
from bench.index_bench import layout_of
from support.command import Command
from support.programs import busybox
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

FILES = scaled(980_000, least=20_000)
PER_FOLDER = 100
FIXED, OF_A_FILE = 80_000_000, 120
"""Bytes. A million files may take 200 MB."""


def write_layer(path: Path, program: Path) -> None:
    source = random.Random(1)
    data = source.randbytes(1 << 16)
    with gzip.open(path, "wb", 1) as output, tarfile.open(fileobj=output, mode="w|") as archive:
        archive.add(program, "busybox")
        for number in range(FILES // PER_FOLDER):
            folder = tarfile.TarInfo(f"opt/app/module{number}")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
            for file in range(PER_FOLDER):
                member = tarfile.TarInfo(f"{folder.name}/file{file}.js")
                member.size = source.randrange(65, 500)
                start = source.randrange(len(data) - member.size)
                archive.addfile(member, io.BytesIO(data[start : start + member.size]))


def test_a_build_of_many_files_needs_little_memory(tmp_path: Path, native: Path, key: Path) -> None:
    layer = tmp_path / "layer.tar.gz"
    write_layer(layer, busybox())
    layout, _ = layout_of([layer], tmp_path, ["/busybox", "true"])
    command = Command(base=tmp_path, native=native)
    output = f"type=oci,dest={tmp_path / 'x.tar'}"
    arguments = command.arguments("build", f"oci:{layout}", "--key", key, "-o", output, "-q")
    first = run(arguments, command.variables())
    again = run([*arguments, "--set", "threads=9"], command.variables())
    print(f"{FILES} files: {first.peak / 1e6:.0f} MB, {again.peak / 1e6:.0f} MB")
    assert max(first.peak, again.peak) < FIXED + OF_A_FILE * FILES
