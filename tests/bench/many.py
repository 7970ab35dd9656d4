"""An image of 300,000 small files: converted for the first time, again with another option, and run."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

from bench.harness import Row, megabytes, run, times
from bench.index_bench import layout_of
from support.programs import SAMPLES, static_musl
from support.registry import running_registry

if TYPE_CHECKING:
    from pathlib import Path

FILES, PER_FOLDER = 300_000, 100
FIRST, CHANGED, STARTED, PEAK = 5.0, 1.5, 3.0, 250e6
"""Seconds to stay below, and bytes."""

INFLATE = """
import sys
from enclavize.rootfs.decompress import decompressed
with open(sys.argv[1], "rb") as layer:
    for _ in decompressed(layer, "layer"):
        pass
"""


def many_rows(base: Path) -> list[Row]:
    """Measure builds whose layers are at their target already: nothing but the conversion."""
    folder = base / "many"
    folder.mkdir()
    layer = folder / "layer.tar.gz"
    program = static_musl(SAMPLES / "hello" / "hello.c", folder / "hello")
    write_layer(layer, program, FILES, range(100, 3000))
    layout, _ = layout_of([layer], folder, ["/hello"])
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_DATA_HOME": str(folder / "data"),
        "HOME": str(folder),
    }
    enclavize = [sys.executable, "-m", "enclavize"]
    key = folder / "key.pem"
    subprocess.run([*enclavize, "keygen", key], env=environment, check=True, capture_output=True)
    with running_registry(folder / "registry") as registry:
        copied = f"docker://{registry.host}/many:1"
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}", copied], check=True
        )
        command = [*enclavize, "build", f"{registry.host}/many:1", "-t", f"{registry.host}/many:tee", "-q"]
        command += ["--key", str(key), "--push"]
        first = run(command, environment)
        changed = run([*command, "--set", "threads=9"], environment)
        started = run(
            [*enclavize, "run", "--simulate", f"{registry.host}/many:tee"],
            {**environment, "XDG_CACHE_HOME": str(folder / "empty-cache")},
        )
        inflating = run([sys.executable, "-c", INFLATE, layer])
    return [
        Row(
            name=f"{FILES:,} small files, first build",
            target=f"< {FIRST:.0f} s, < {megabytes(PEAK)}",
            ours=f"{times(first)}, {megabytes(first.peak)}",
            peer="-",
            met=first.seconds < FIRST and first.peak < PEAK,
        ),
        Row(
            name=f"{FILES:,} small files, another option",
            target=f"< {CHANGED} s",
            ours=f"{times(changed)}, {megabytes(changed.peak)}",
            peer="-",
            met=changed.seconds < CHANGED,
        ),
        Row(
            name=f"{FILES:,} small files, enclavize run, nothing cached",
            target=f"< inflating + {STARTED:.0f} s",
            ours=f"{times(started)}, {megabytes(started.peak)}",
            peer=f"inflating: {times(inflating)}",
            met=started.seconds < inflating.seconds + STARTED,
        ),
    ]


def write_layer(path: Path, program: Path, files: int, sizes: range) -> None:
    """Write a layer of so many small files, with the program as ``hello``; always the same."""
    source = random.Random(1)
    data = source.randbytes(1 << 16)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(program, "hello")
        for number in range(files // PER_FOLDER):
            folder = tarfile.TarInfo(f"opt/app/module{number}")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
            for file in range(PER_FOLDER):
                member = tarfile.TarInfo(f"{folder.name}/file{file}.js")
                member.size = source.choice(sizes)
                start = source.randrange(len(data) - member.size)
                archive.addfile(member, io.BytesIO(data[start : start + member.size]))
