"""No ELF file costs more than a second of processor time or 100 MB: the kernel stops a process that does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support import hostile_elf
from support.programs import REPOSITORY


def judged(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "support.hostile_elf", *names], cwd=REPOSITORY / "tests", capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_files_that_are_made_to_be_dear_are_cheap() -> None:
    done = judged(*hostile_elf.FILES)
    assert done.stdout.splitlines() == list(hostile_elf.FILES), done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("name", "end"), [(hostile_elf.TOO_SLOW, -signal.SIGPROF), (hostile_elf.TOO_LARGE, 1)]
)
def test_the_limits_end_a_process_that_goes_beyond(name: str, end: int) -> None:
    done = judged(name)
    assert done.returncode == end
    assert done.stdout == ""
