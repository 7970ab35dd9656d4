"""Starting a program from a program and waiting for its end: native, and in the enclave (simulation)."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from bench.harness import Row
from support.programs import static_pie_musl
from support.tee import Converter, ordinary_image

ROUNDS = "500"
REPEATS = 3


def spawn_rows(base: Path) -> list[Row]:
    """Measure posix_spawn and wait of a small static program."""
    with tempfile.TemporaryDirectory(dir=base, prefix="spawn-") as scratch:
        folder = Path(scratch)
        (folder / "rootfs").mkdir()
        program = folder / "rootfs" / "spawn"
        static_pie_musl(Path(__file__).parent / "spawn.c", program)
        image = ordinary_image(folder / "layout", folder / "rootfs", config=["--config.cmd", "/spawn"])
        tree = Converter.create(folder).tree(image, "tree", "--allow-args")
        native, ours = [], []
        for _ in range(REPEATS):
            done = subprocess.run([program, ROUNDS], capture_output=True, check=True)
            native.append(float(done.stdout))
            ours.append(float(tree.run("/spawn", ROUNDS).stdout))
    return [
        Row(
            name="posix_spawn + wait of a static program",
            target="5 ms",
            ours=f"{min(ours):.2f} ms",
            peer=f"{min(native):.2f} ms native",
            met=min(ours) < 5,
        )
    ]
