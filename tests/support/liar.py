"""The lying host (tests/native/liar), built as the product's PAL is, and its reports."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.programs import REPOSITORY
from support.torture import NATIVE, compile_as

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

LIAR = REPOSITORY / "tests" / "native" / "liar"
HOST = (
    "answers.c", "attack.c", "entry.S", "lies.c", "main.c", "memory.c", "real.c", "start.c", "stepping.c",
)  # fmt: skip
CORE = ("core.c", "core_calls.c", "core_entry.S")
REPLACED = ("ocall.c", "sim.c", "sim_signals.c")


def compile_liar(output: Path) -> Path:
    """Compile the PAL with the parts replaced that lie."""
    pal = [path for path in sorted((NATIVE / "pal").glob("*.[cS]")) if path.name not in REPLACED]
    return compile_as("runelet", output, [*pal, *(LIAR / name for name in HOST)], ["-Ipal"])


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was tried, and how often."""

    lies: int
    entries: int
    refused: int
    steps: int
    flips: int
    children: int
    honest: list[str]
    """OCALLs in which the host has not lied."""


@dataclass(frozen=True, kw_only=True)
class Liar:
    """Runs enclave instances by the lying host."""

    program: Path

    def run(
        self, instance: Path, *arguments: str, options: str = "", stdin: bytes = b"", **settings: int
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the enclave; ``settings`` are those of liar.h in lower case."""
        variables = {f"LIAR_{name.upper()}": str(value) for name, value in settings.items()}
        with tempfile.TemporaryFile() as file:  # children read what the parent has not
            file.write(stdin)
            file.seek(0)
            return subprocess.run(
                [self.program, f"instance={instance} mode=sim {options}", *arguments],
                stdin=file, capture_output=True, check=False, timeout=3000, env={**os.environ, **variables},
            )  # fmt: skip

    def report(
        self, instance: Path, *arguments: str, options: str = "", stdin: bytes = b"", **settings: int
    ) -> Report:
        """Run the enclave, which must withstand, and return what was tried."""
        done = self.run(instance, *arguments, options=options, stdin=stdin, **settings)
        messages = done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"exit code {done.returncode}\n{messages[-2000:]}"
        return Report(**json.loads(done.stdout.splitlines()[-1]))

    def attack(self, tree: TeeTree, *arguments: str, **settings: int) -> Report:
        """Run the program of a TEE image in the real LibOS, and lie to both."""
        options = f"root={tree.root}"
        return self.report(
            tree.instance, *arguments, options=options, stdin=b"input " * 100, real=1, **settings
        )
