"""What the README shows is what a new user can type, word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need, need_root

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_the_tour(tmp_path: Path) -> None:
    need("runc", "busybox")
    need_root()
    readme = (REPOSITORY / "README.md").read_text()
    found = re.search(r"^## A tour\n\n((?:    .*\n)+)", readme, re.MULTILINE)
    assert found
    activate, *commands = (line.strip() for line in found[1].splitlines())
    assert activate.startswith(". .venv/bin/activate ")
    environment = {"PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(commands)], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\ntrusted          true\n" in done.stdout
    assert done.stdout.endswith("\nhello\n")
