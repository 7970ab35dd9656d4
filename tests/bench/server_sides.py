"""Where a server runs: natively, in the enclave, in gVisor, in Gramine's direct mode."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from support.stand_in_toolchain import GRAMINE_VARIABLE
from support.tee import Converter, TeeTree, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.server_programs import Program

GVISOR = ("runsc", "--rootless", "--network=host", "--ignore-cgroups", "do")
START_SECONDS = 60
OPTIONS = ("--debug", "--allow-args", "--allow-network", "all", "--set", "memory=2G", "--set", "threads=32")


@dataclass(frozen=True, kw_only=True)
class Side:
    """A command line that starts a server."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that listens."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def memory(self) -> int:
        """Bytes of all its processes; what they share counts once."""
        children: dict[int, list[int]] = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(status.parent.name))
        found, total = [self.process.pid], 0
        for process in found:
            found += children.get(process, [])
            with contextlib.suppress(OSError):
                total += sum(map(int, re.findall(r"^Pss: +(\d+)", _maps(process), re.MULTILINE))) << 10
        return total


def _maps(process: int) -> str:
    return Path(f"/proc/{process}/smaps_rollup").read_text()


def sides(program: Program, base: Path) -> dict[str, Side]:
    """Return where the server can run here; images are built once for each root file system."""
    chroot = ("chroot", str(program.root), *program.argv)
    image = f"oci:{base / program.root.name}-layout:1"
    if not (base / f"{program.root.name}-layout").exists():
        config = ["--config.entrypoint", program.argv[0]]
        ordinary_image(base / f"{program.root.name}-layout", program.root, config=config)
    found = {"native": Side(command=chroot), "ours": _ours(program, image, base)}
    if shutil.which("runsc") is not None:
        found["gVisor"] = Side(command=(*GVISOR, *chroot))
    if GRAMINE_VARIABLE in os.environ:
        writes = [word for path in program.writes for word in ("--tmpfs", path)]
        folder = base / f"{program.root.name}-gramine"
        found["Gramine"] = gramine_side(program.argv[1:], image, folder, (*OPTIONS, *writes))
    return found


def _ours(program: Program, image: str, base: Path) -> Side:
    folder = base / f"{program.root.name}-tee"
    if not folder.exists():
        folder.mkdir()
        Converter.create(folder).tree(image, "tree", *OPTIONS)
    tree = TeeTree(root=folder / "tree")
    return Side(command=(tree.runelet, *program.argv[1:]), environment=tree.environment)


def gramine_side(arguments: Sequence[str], image: str, folder: Path, options: Sequence[str]) -> Side:
    """By ``enclavize run``, which gives it the files that its manifest names. ``folder`` keeps the image."""
    converter = Converter(base=folder, key=folder / "enclave-key.pem", environment=_home(folder))
    layout = folder / "layout"
    if not folder.exists():
        folder.mkdir()
        converter.run(
            "build", image, "--libos", "gramine", "--toolchain", os.environ[GRAMINE_VARIABLE], *options,
            "-o", f"type=oci,tar=false,dest={layout}",
        )  # fmt: skip
    run = (sys.executable, "-m", "enclavize", "run", "--simulate", "--network", "host", f"oci:{layout}")
    return Side(command=(*run, *arguments), environment=converter.environment)


def _home(folder: Path) -> dict[str, str]:
    names = {"XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data"}
    return {"HOME": str(folder), **{variable: str(folder / name) for variable, name in names.items()}}


@contextlib.contextmanager
def running(program: Program, side: Side, *, errors: int = subprocess.DEVNULL) -> Iterator[Running]:
    """Run a server until it is not needed any more."""
    with subprocess.Popen(
        side.command, env={**os.environ, **side.environment}, stdout=subprocess.PIPE, stderr=errors
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline()) if program.port is None else _listening(program.port)
            yield Running(process=process, port=port)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _listening(port: int) -> int:
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return port
        if time.monotonic() > end:
            raise SystemExit(f"nobody listens at {port}")
        time.sleep(0.02)
