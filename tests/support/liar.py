"""The lying host (tests/native/liar), built as the product's PAL is, and its reports."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.programs import REPOSITORY
from support.torture import NATIVE, compile_as

if TYPE_CHECKING:
    from pathlib import Path

LIAR = REPOSITORY / "tests" / "native" / "liar"
HOST = ("answers.c", "attack.c", "entry.S", "main.c", "memory.c", "stepping.c")
REPLACED = ("ocall.c", "sim_signals.c")


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


@dataclass(frozen=True, kw_only=True)
class Liar:
    """Runs enclave instances by the lying host."""

    program: Path

    def run(
        self, instance: Path, *arguments: str, options: str = "", **settings: int
    ) -> subprocess.CompletedProcess[str]:
        """Run the enclave; ``settings``: seed, lies, entries."""
        variables = {f"LIAR_{name.upper()}": str(value) for name, value in settings.items()}
        return subprocess.run(
            [self.program, f"instance={instance} mode=sim {options}", *arguments],
            capture_output=True, text=True, check=False, timeout=3000, env={**os.environ, **variables},
        )  # fmt: skip

    def report(self, instance: Path, *arguments: str, options: str = "", **settings: int) -> Report:
        """Run the enclave, which must withstand, and return what was tried."""
        done = self.run(instance, *arguments, options=options, **settings)
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-500:]}\n{done.stderr}"
        return Report(**json.loads(done.stdout.splitlines()[-1]))
