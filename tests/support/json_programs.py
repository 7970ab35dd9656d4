"""Programs that read JSON documents: ``go_json/main.go``, and rune's reader in C."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def asked(program: Path, documents: Sequence[tuple[str, bytes]]) -> list[str]:
    """Return what a program says of documents and their kinds, a line for each one."""
    given = b"".join(struct.pack("<cI", kind.encode(), len(data)) + data for kind, data in documents)
    done = subprocess.run([program], input=given, capture_output=True, check=True, timeout=600)
    lines = done.stdout.decode().split("\n")[:-1]
    assert len(lines) == len(documents), done.stderr.decode()
    return lines


def json_probe(folder: Path) -> Path:
    """Compile rune's reader of JSON, under sanitizers, with a program that shows what it finds."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc, whose sanitizers are used here, is not installed")
    program = folder / "json_probe"
    rune = REPOSITORY / "native" / "rune"
    subprocess.run(
        [
            compiler, "-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{rune}",
            "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program,
            REPOSITORY / "tests/native/rune/json_probe.c", rune / "json.c",
        ],
        check=True,
    )  # fmt: skip
    return program
