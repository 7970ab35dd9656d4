"""The rows of the system call table: well-formed, unique, and named as in Linux."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.programs import REPOSITORY

LIBOS = REPOSITORY / "native" / "libos"
TABLES = (*sorted(LIBOS.glob("*/calls.def")), LIBOS / "syscall" / "missing_calls.def")
LINUX_NUMBERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")

ROW = re.compile(r"CALL\((\d+), (\w+), (NORMAL|RESTARTS|ENDS)((?:, [A-Z_]+(?:\(\d+\))?){6})\)")


def rows(path: Path) -> list[tuple[int, str, str]]:
    """Return number, name and arguments of each row; every line that begins one must be well-formed."""
    found = []
    for line in path.read_text().splitlines():
        if line.startswith("CALL("):
            row = ROW.match(line)
            assert row is not None, f"{path.name}: {line}"
            found.append((int(row[1]), row[2], row[4]))
    return found


def test_every_number_and_name_stands_once() -> None:
    all_rows = [row for table in TABLES for row in rows(table)]
    assert len({number for number, _, _ in all_rows}) == len(all_rows)
    assert len({name for _, name, _ in all_rows}) == len(all_rows)


def test_names_are_those_of_linux() -> None:
    if not LINUX_NUMBERS.is_file():
        pytest.skip("the kernel's headers (linux-libc-dev) are not installed")
    text = LINUX_NUMBERS.read_text()
    linux = {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}
    for table in TABLES:
        for number, name, _ in rows(table):
            assert linux.get(number, name) == name


def test_sizes_refer_to_arguments_that_are_numbers() -> None:
    for table in TABLES:
        for _, name, text in rows(table):
            arguments = text.removeprefix(", ").split(", ")
            for argument in arguments:
                if sized := re.fullmatch(r"(?:IN|OUT)_SIZED\((\d)\)", argument):
                    assert arguments[int(sized[1]) - 1] == "VALUE", name
