"""Requests that no honest host makes (hostile.c): the enclave goes on as if nothing had been."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.scale import scaled
from support.torture import NATIVE, compile_as

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Trees

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = NATIVE.parent / "tests" / "integration" / "exec" / "hostile.c"
    pal = sorted((NATIVE / "pal").glob("*.[cS]"))
    return compile_as("runelet", tmp_path_factory.mktemp("hostile") / "hostile", [*pal, source], ["-Ipal"])


def test_no_request_harms_the_enclave(trees: Trees, hostile: Path) -> None:
    words = f"instance={trees.open.instance} root={trees.open.root} mode=sim"
    done = subprocess.run(
        [hostile, words, str(scaled(4000)), "11"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
