"""Starting programs from programs, and taking turns: native, and in the enclave (simulation)."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row
from support.programs import static_pie_musl, with_libraries
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from support.tee import TeeTree

REPEATS = 3
PROGRAMS = (
    ("posix_spawn + wait of a static program", ("/spawn", "500"), 5.0),
    ("fork + exec + wait from 2 MB", ("/fork", "exec", "2", "200"), 5.0),
    ("fork + exec + wait from 200 MB", ("/fork", "exec", "200", "50"), 100.0),
    ("turn to a forked child and back, nothing differs", ("/fork", "switch", "0", "500"), 0.5),
    ("turn to a forked child and back, 1 MB differs", ("/fork", "switch", "1", "200"), 5.0),
    ("turn to a forked child and back, 64 MB differ", ("/fork", "switch", "64", "20"), 100.0),
)
"""Name, command, and ms at most. The command prints ms."""

TEN_COMMANDS = "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done"
TEN_COMMANDS_TARGET = 100.0


def spawn_rows(base: Path) -> list[Row]:
    """Measure starts of programs, exchanges by the size of what differs, and a shell."""
    with tempfile.TemporaryDirectory(dir=base, prefix="spawn-") as scratch:
        folder = Path(scratch)
        rootfs = folder / "rootfs"
        (rootfs / "bin").mkdir(parents=True)
        for name in ("spawn", "fork"):
            static_pie_musl(Path(__file__).parent / f"{name}.c", rootfs / name)
        bash = shutil.which("bash")
        if bash is not None:
            shutil.copy(bash, rootfs / "bin" / "bash")
            shutil.copy(shutil.which("true") or "/bin/true", rootfs / "bin" / "true")
            with_libraries(rootfs, Path(bash), rootfs / "bin" / "true")
        image = ordinary_image(folder / "layout", rootfs, config=["--config.cmd", "/spawn"])
        tree = Converter.create(folder).tree(image, "tree", "--allow-args", "--set", "memory=1G")
        rows = [_row(name, rootfs, tree, command, limit) for name, command, limit in PROGRAMS]
        return [*rows, _shell_row(rootfs, tree)] if bash is not None else rows


def _row(name: str, rootfs: Path, tree: TeeTree, command: tuple[str, ...], limit: float) -> Row:
    native, ours = [], []
    path, *arguments = command
    for _ in range(REPEATS):
        done = subprocess.run([f"{rootfs}{path}", *arguments], capture_output=True, check=True)
        native.append(float(done.stdout))
        ours.append(float(tree.run(*command).stdout))
    return Row(
        name=name,
        target=f"{limit:g} ms",
        ours=f"{min(ours):.2f} ms",
        peer=f"{min(native):.2f} ms native",
        met=min(ours) < limit,
    )


def _shell_row(rootfs: Path, tree: TeeTree) -> Row:
    """Measure ten commands by what a hundred of them take inside one shell, by its own clock."""
    script = f"s=$EPOCHREALTIME; for r in 1 2 3 4 5 6 7 8 9 10; do {TEN_COMMANDS}; done; e=$EPOCHREALTIME; "
    script += "echo $(( (${e/./} - ${s/./}) / 10 ))"
    native, ours = [], []
    for _ in range(REPEATS):
        done = subprocess.run([rootfs / "bin" / "bash", "-c", script], capture_output=True, check=True)
        native.append(float(done.stdout) / 1000)
        ours.append(float(tree.run("/bin/bash", "-c", script).stdout) / 1000)
    return Row(
        name="bash: ten commands",
        target=f"{TEN_COMMANDS_TARGET:g} ms",
        ours=f"{min(ours):.1f} ms",
        peer=f"{min(native):.1f} ms native",
        met=min(ours) < TEN_COMMANDS_TARGET,
    )
