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


def sanitized(program: Path, sources: Sequence[Path], include: Path) -> Path:
    """Compile a program under sanitizers."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc, whose sanitizers are used here, is not installed")
    subprocess.run(
        [
            compiler, "-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{include}",
            "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program, *sources,
        ],
        check=True,
    )  # fmt: skip
    return program


def json_probe(folder: Path) -> Path:
    """Compile rune's reader of JSON with a program that shows what it finds."""
    rune = REPOSITORY / "native" / "rune"
    sources = [REPOSITORY / "tests/native/rune/json_probe.c", rune / "json.c"]
    return sanitized(folder / "json_probe", sources, rune)
