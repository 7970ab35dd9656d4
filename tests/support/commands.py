"""Containers whose enclave takes commands from outside."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.images import build_image, directory, file, write_layout
from support.programs import busybox, static_pie_musl
from support.rune import ENTRYPOINT
from support.strictness import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from support.tee import TeeTree

_PROBE = Path(__file__).parents[1] / "integration" / "exec" / "probe.c"
THREADS = 160
FEW_THREADS = 8
HEALTH = ("/probe", "exit", "3")
ALLOWED = ("/probe", "show", "a  b", "")


@dataclass(frozen=True, kw_only=True)
class Container:
    """A running one; ``pid`` is the runelet's."""

    rune: Path
    state: Path
    name: str
    pid: int

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return the command line of ``rune exec``; ``words``: options, then what is to run."""
        rest = list(dropwhile(lambda word: str(word).startswith("--"), words))
        options = words[: len(words) - len(rest)]
        return [self.rune, "--root", self.state, "exec", *options, self.name, *rest]

    def exec(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run to the end."""
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, check=False, timeout=60 * PATIENCE
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Do not wait for the end."""
        return subprocess.Popen(
            self.command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def client(self) -> int:
        """Return the only ``runelet exec`` in the container, as the host numbers it."""
        (found,) = self.clients()
        return found

    def clients(self) -> list[int]:
        """Return those that run: they share the runelet's mount namespace."""
        own = Path(f"/proc/{self.pid}/ns/mnt").readlink()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                is_client = (
                    words[:2] == [ENTRYPOINT.encode(), b"exec"] and (path / "ns/mnt").readlink() == own
                )
            except OSError:
                continue
            found += [int(path.name)] if is_client else []
        return found

    def threads(self) -> int:
        """Return how many threads the runelet has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        """Return how many files the runelet has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory(self) -> int:
        """Return what the runelet and its enclave have resident, in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def settled(self, measure: Callable[[], int], most: int) -> int:
        """Wait until a measure is no more than this; return it."""
        found = measure()
        for _ in range(500):
            if (found := measure()) <= most:
                return found
            time.sleep(0.01)
        pytest.fail(f"{found} is left, more than {most}")


@dataclass(frozen=True, kw_only=True)
class Trees:
    """TEE images: one that allows any command, one with few threads, one that names a few, one none."""

    open: TeeTree
    few: TeeTree
    strict: TeeTree
    closed: TeeTree


def probe_image(base: Path, config: Mapping[str, object]) -> str:
    """Make an image of the probe, which holds; return its name as a source."""
    probe = static_pie_musl(_PROBE, base / "probe")
    members = [
        file("probe", probe.read_bytes(), 0o755), file("tar", busybox().read_bytes(), 0o755),
        directory("work"), directory("data", 0o777),
    ]  # fmt: skip
    defaults = {
        "Entrypoint": ["/probe"],
        "Cmd": ["hold"],
        "Env": ["PATH=/", "A=measured"],
        "WorkingDir": "/work",
    }
    image = build_image([members], config={**defaults, **config})
    write_layout(base / "layout", {"1": image})
    return f"oci:{base / 'layout'}:1"


HEALTHY_FILE = "healthy"


def health_image(base: Path) -> str:
    """Make an image of the probe, which is healthy while a file is there."""
    base.mkdir()
    interval = {"Interval": 10**9, "Timeout": 10**10, "Retries": 1, "StartPeriod": 0}
    test = {"Test": ["CMD", "/probe", "exists", f"/data/{HEALTHY_FILE}"]}
    return probe_image(base, {"Healthcheck": {**test, **interval}, "WorkingDir": "/"})


def lines(output: bytes, kind: str) -> Sequence[str]:
    """Return what ``show`` printed of one kind."""
    return [line.partition(" ")[2] for line in output.decode().splitlines() if line.split(" ")[0] == kind]
