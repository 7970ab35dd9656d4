"""``enclavize check`` draws on terminals, and writes plain text elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ESCAPE = b"\x1b["


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "file").write_text("no program")
    return [sys.executable, "-m", "enclavize", "check", f"dir:{tmp_path}/image", "--progress", "quiet"]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return {**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TERM": "xterm", **more}


def on_terminal(command: list[str], variables: dict[str, str]) -> tuple[int, bytes]:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, env=variables) as process:
        os.close(theirs)
        output = b""
        try:
            while piece := os.read(ours, 65536):
                output += piece
        except OSError:  # EIO: the terminal's last writer is gone
            pass
    os.close(ours)
    return process.returncode, output


def test_text_in_a_pipe_is_plain(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, check=False)
    assert done.returncode == 3, done.stderr
    assert ESCAPE not in done.stdout
    assert done.stdout.startswith(b"LIBOS ")
    assert b"OCC001" in done.stdout


def test_a_terminal_gets_a_table_in_its_width(command: list[str], tmp_path: Path) -> None:
    code, output = on_terminal(command, environment(tmp_path, COLUMNS="80", NO_COLOR="1"))
    assert code == 3
    assert b"none runs the image" in output
    assert b"\x1b[3" not in output
    code, output = on_terminal(command, environment(tmp_path, COLUMNS="80"))
    assert b"\x1b[31m" in output


def test_a_terminal_that_cannot_draw_gets_plain_text(command: list[str], tmp_path: Path) -> None:
    _, output = on_terminal(command, environment(tmp_path, TERM="dumb"))
    assert ESCAPE not in output
