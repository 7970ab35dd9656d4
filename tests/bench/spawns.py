"""Starting programs from programs, and taking turns: native, and in the enclave (simulation)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row
from bench.server_sides import gramine_side
from support.programs import static_pie_musl, with_libraries
from support.stand_in_toolchain import GRAMINE_VARIABLE
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from support.tee import TeeTree

REPEATS = 3
GVISOR = ("runsc", "--rootless", "--network=none", "--ignore-cgroups", "do")
SHORT = 20
"""How many times fewer Gramine does it, once: it starts an enclave for each child."""
PROGRAMS = (
    ("posix_spawn + wait of a static program", ("/spawn",), 500, 5.0),
    ("posix_spawn + wait of a program with libraries", ("/bin/spawn",), 300, 5.0),
    ("fork + exec + wait from 2 MB", ("/fork", "exec", "2"), 200, 5.0),
    ("fork + exec + wait from 200 MB", ("/fork", "exec", "200"), 50, 100.0),
    ("turn to a forked child and back, nothing differs", ("/fork", "switch", "0"), 500, 0.5),
    ("turn to a forked child and back, 1 MB differs", ("/fork", "switch", "1"), 200, 5.0),
    ("turn to a forked child and back, 64 MB differ", ("/fork", "switch", "64"), 20, 100.0),
)
"""Name, command, its last argument, which is how often, and ms at most. The command prints ms."""

TEN_COMMANDS = (
    "s=$EPOCHREALTIME; for ((r = 0; r < $0; r++)); do "
    "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done; done; e=$EPOCHREALTIME; "
    "t=$(( (${e/./} - ${s/./}) / $0 )); printf '%d.%03d\\n' $((t / 1000)) $((t % 1000))"
)
TEN_COMMANDS_TARGET = 3.0
"""Of the native time."""
OPTIONS = ("--allow-args", "--set", "memory=1G")


@dataclass(frozen=True, kw_only=True)
class Places:
    """The same programs natively, in the enclave, and where else they can run here."""

    rootfs: Path
    tree: TeeTree
    base: Path

    def seen(self, command: Sequence[str], count: int) -> dict[str, float]:
        """Return the least number that the command printed at each place; places take turns."""
        words = (*command, str(count))
        runs: dict[str, Callable[[], bytes]] = {
            "ours": lambda: self.tree.run(*words).stdout,
            "native": lambda: _output(("chroot", str(self.rootfs), *words)),
        }
        if shutil.which("runsc") is not None:
            runs["gVisor"] = lambda: _output((*GVISOR, "chroot", str(self.rootfs), *words))
        found = [{name: float(run()) for name, run in runs.items()} for _ in range(REPEATS)]
        least = {name: min(one[name] for one in found) for name in runs}
        if GRAMINE_VARIABLE in os.environ:
            least["Gramine"] = self._in_gramine((*command, str(max(2, count // SHORT))))
        return least

    def _in_gramine(self, words: Sequence[str]) -> float:
        """Its images run one program, which their manifest names."""
        name = words[0].strip("/").replace("/", "-")
        layout = self.base / f"layout-{name}"
        if not layout.exists():
            ordinary_image(layout, self.rootfs, config=["--config.entrypoint", words[0]])
        side = gramine_side(words[1:], f"oci:{layout}:1", self.base / f"gramine-{name}", OPTIONS)
        return float(_output(side.command, {**os.environ, **side.environment}))


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
        tree = Converter.create(folder).tree(image, "tree", *OPTIONS)
        places = Places(rootfs=rootfs, tree=tree, base=folder)
        return [*(_row(places, *program) for program in PROGRAMS), _shell_row(places)]


def _output(command: Sequence[str], environment: Mapping[str, str] | None = None) -> bytes:
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def _told(peers: dict[str, float]) -> str:
    return ", ".join(f"{value:.2f} ms {name}" for name, value in peers.items())


def _row(places: Places, name: str, command: tuple[str, ...], count: int, limit: float) -> Row:
    seen = places.seen(command, count)
    ours = seen.pop("ours")
    return Row(name=name, target=f"{limit:g} ms", ours=f"{ours:.2f} ms", peer=_told(seen), met=ours < limit)


def _shell_row(places: Places) -> Row:
    """Measure ten commands by what a hundred of them take inside one shell, by its own clock."""
    seen = places.seen(("/bin/bash", "-c", TEN_COMMANDS), 10)
    ours, native = seen.pop("ours"), seen["native"]
    return Row(
        name="bash: ten commands",
        target=f"{TEN_COMMANDS_TARGET:g} x native",
        ours=f"{ours:.1f} ms, {ours / native:.1f} x",
        peer=_told(seen),
        met=ours <= TEN_COMMANDS_TARGET * native,
    )
