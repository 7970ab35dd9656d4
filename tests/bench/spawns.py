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
    from collections.abc import Callable

    from support.tee import TeeTree

REPEATS = 3
GVISOR = ("runsc", "--rootless", "--network=none", "--ignore-cgroups", "do", "chroot")
PROGRAMS = (
    ("posix_spawn + wait of a static program", ("/spawn", "500"), 5.0),
    ("posix_spawn + wait of a program with libraries", ("/bin/spawn", "300"), 5.0),
    ("fork + exec + wait from 2 MB", ("/fork", "exec", "2", "200"), 5.0),
    ("fork + exec + wait from 200 MB", ("/fork", "exec", "200", "50"), 100.0),
    ("turn to a forked child and back, nothing differs", ("/fork", "switch", "0", "500"), 0.5),
    ("turn to a forked child and back, 1 MB differs", ("/fork", "switch", "1", "200"), 5.0),
    ("turn to a forked child and back, 64 MB differ", ("/fork", "switch", "64", "20"), 100.0),
)
"""Name, command, and ms at most. The command prints ms."""

TEN_COMMANDS = "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done"
TEN_COMMANDS_TARGET = 3.0
"""Of the native time."""


def spawn_rows(base: Path) -> list[Row]:
    """Measure starts of programs, exchanges by the size of what differs, and a shell."""
    with tempfile.TemporaryDirectory(dir=base, prefix="spawn-") as scratch:
        folder = Path(scratch)
        rootfs = folder / "rootfs"
        (rootfs / "bin").mkdir(parents=True)
        for name in ("spawn", "fork"):
            static_pie_musl(Path(__file__).parent / f"{name}.c", rootfs / name)
        spawn = Path(__file__).parent / "spawn.c"
        subprocess.run(["gcc", "-O2", spawn, "-o", rootfs / "bin" / "spawn"], check=True)
        for name in ("bash", "true"):
            shutil.copy(shutil.which(name) or f"/bin/{name}", rootfs / "bin" / name)
        with_libraries(rootfs, *(rootfs / "bin").iterdir())
        image = ordinary_image(folder / "layout", rootfs, config=["--config.cmd", "/spawn"])
        tree = Converter.create(folder).tree(image, "tree", "--allow-args", "--set", "memory=1G")
        rows = [_row(name, rootfs, tree, command, limit) for name, command, limit in PROGRAMS]
        return [*rows, _shell_row(rootfs, tree)]


def _seen(rootfs: Path, tree: TeeTree, command: tuple[str, ...]) -> dict[str, float]:
    """Return the least number that the command printed at each place; places take turns."""
    sides: dict[str, Callable[[], bytes]] = {
        "ours": lambda: tree.run(*command).stdout,
        "native": lambda: _output("chroot", str(rootfs), *command),
    }
    if shutil.which("runsc") is not None:
        sides["gVisor"] = lambda: _output(*GVISOR, str(rootfs), *command)
    found = [{name: float(run()) for name, run in sides.items()} for _ in range(REPEATS)]
    return {name: min(one[name] for one in found) for name in sides}


def _output(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout


def _told(peers: dict[str, float]) -> str:
    return ", ".join(f"{value:.2f} ms {name}" for name, value in peers.items())


def _row(name: str, rootfs: Path, tree: TeeTree, command: tuple[str, ...], limit: float) -> Row:
    seen = _seen(rootfs, tree, command)
    ours = seen.pop("ours")
    return Row(name=name, target=f"{limit:g} ms", ours=f"{ours:.2f} ms", peer=_told(seen), met=ours < limit)


def _shell_row(rootfs: Path, tree: TeeTree) -> Row:
    """Measure ten commands by what a hundred of them take inside one shell, by its own clock."""
    script = f"s=$EPOCHREALTIME; for r in 1 2 3 4 5 6 7 8 9 10; do {TEN_COMMANDS}; done; e=$EPOCHREALTIME; "
    script += "t=$(( (${e/./} - ${s/./}) / 10 )); printf '%d.%03d\\n' $((t / 1000)) $((t % 1000))"
    seen = _seen(rootfs, tree, ("/bin/bash", "-c", script))
    ours, native = seen.pop("ours"), seen["native"]
    return Row(
        name="bash: ten commands",
        target=f"{TEN_COMMANDS_TARGET:g} x native",
        ours=f"{ours:.1f} ms, {ours / native:.1f} x",
        peer=_told(seen),
        met=ours <= TEN_COMMANDS_TARGET * native,
    )
