"""A command in a running container: ``runc exec``, and ``rune exec`` into an enclave (simulation)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row, run, seconds
from support.commands import probe_image
from support.rune import ENTRYPOINT, RuneInstallation, write_bundle
from support.tee import Converter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROUNDS = 51
TARGET = 0.010
PROGRAM = ("/probe", "exit", "0")


def command_rows(base: Path) -> list[Row]:
    """Measure both by turns."""
    with tempfile.TemporaryDirectory(dir=base, prefix="commands-") as scratch:
        folder = Path(scratch)
        source = probe_image(folder, {"WorkingDir": "/"})
        tree = Converter.create(folder).tree(source, "tree", "--allow-exec")
        (folder / "installed").mkdir()
        rune = RuneInstallation.create(folder / "installed").rune
        with (
            _running(folder, rune, tree.root, [ENTRYPOINT]),
            _running(folder, "runc", tree.root, ["/probe", "hold"]),
        ):
            native, ours = [], []
            for _ in range(ROUNDS):
                native.append(run(["runc", "exec", "runc", *PROGRAM], None).seconds)
                ours.append(run([rune, "exec", "rune", *PROGRAM], None).seconds)
    above = max(min(ours) - min(native), 1e-6)  # the rest is what the machine had to do meanwhile
    return [
        Row(
            name="exec into an enclave, above runc exec",
            target="10 ms",
            ours=seconds(above),
            peer=f"{seconds(min(native))} runc exec",
            met=above < TARGET,
        )
    ]


@contextmanager
def _running(base: Path, runtime: str | Path, root: Path, arguments: Sequence[str]) -> Iterator[None]:
    name = Path(runtime).name
    folder = base / f"bundle-{name}"
    folder.mkdir()
    spec = json.loads((write_bundle(folder, arguments) / "config.json").read_text())
    spec["root"]["path"] = str(root)
    (folder / "config.json").write_text(json.dumps(spec))
    environment = {**os.environ, "ENCLAVIZE_SIMULATE": "1"}
    nothing = subprocess.DEVNULL
    command = [runtime, "run", "--detach", "--bundle", folder, name]
    subprocess.run(command, env=environment, stdin=nothing, stdout=nothing, stderr=nothing, check=True)
    time.sleep(1)
    try:
        yield
    finally:
        subprocess.run(["runc", "delete", "--force", name], check=False)
