"""Over a link of 20 MB/s that loses a packet in twenty, and connections, an image arrives whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.lossy_link import IMPOSSIBLE
from support.scale import scaled

pytestmark = pytest.mark.integration

TESTS = Path(__file__).parents[2]


def test_an_image_arrives_whole(tmp_path: Path) -> None:
    for program in ("docker-registry", "unshare", "tc", "iptables"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    size = scaled(400 << 20, least=10 << 20)
    command = [sys.executable, "-m", "support.lossy_link", str(tmp_path), str(size)]
    done = subprocess.run(
        ["unshare", "--net", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        timeout=600,
    )
    if done.returncode == IMPOSSIBLE:
        pytest.skip(f"no lossy link can be made here: {done.stderr.strip()[-200:]}")
    assert done.stdout.strip() == "whole", done.stderr[-2000:]
