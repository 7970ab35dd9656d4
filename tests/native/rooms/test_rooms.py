"""The order of the LibOS's rooms: includes and symbols go down only."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

NATIVE = REPOSITORY / "native"
LIBOS = NATIVE / "libos"


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    if str(NATIVE) not in sys.path:
        sys.path.insert(0, str(NATIVE))
    return importlib.import_module("rooms")


def test_the_order_holds(rooms: ModuleType) -> None:
    assert rooms.check() == []


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("base/log.c", '#include "boundary/boundary.h"', "is above"),
        ("memory/commit.c", '# include "fs/fs.h"', "is above"),
        ("fs/proc.c", '#include "memory/area.h"', "is memory's own"),
        ("fs/proc.c", '#include "memory/calls.def"', "is memory's own"),
        ("signal/calls.c", '#include "frame.h"', "is written without its room"),
        ("wait/futex.c", '#include "../fs/fs.h"', "is in no room"),
        ("fs/volume.c", '#include "ocalls.h"', "is not for this room"),
        ("base/string.c", "#include <string.h>", "does not exist in an enclave"),
        ("start.c", '#include "fs/file.h"', "is not a room's header"),
        ("fs/ext4/super.c", "", "lies in no room"),
        ("attic/old.h", "", "lies in no room"),
        ("other.c", "", "lies in no room"),
    ],
)
def test_a_breach_is_found(rooms: ModuleType, tmp_path: Path, file: str, line: str, why: str) -> None:
    libos = tmp_path / "libos"
    shutil.copytree(LIBOS, libos)
    assert rooms.check(libos) == []
    path = libos / file
    path.parent.mkdir(exist_ok=True, parents=True)
    with path.open("a") as text:
        text.write(f"{line}\n")
    (fault,) = rooms.check(libos)
    assert str(path) in fault
    assert why in fault


def test_a_room_without_a_header_is_found(rooms: ModuleType, tmp_path: Path) -> None:
    shutil.copytree(LIBOS, tmp_path / "libos")
    (tmp_path / "libos" / "wait" / "wait.h").rename(tmp_path / "libos" / "wait" / "queue.h")
    assert any("has no wait.h" in fault for fault in rooms.check(tmp_path / "libos"))


def _symbols(source: Path, target: Path) -> tuple[set[str], set[str]]:
    """Compile one file; return the names that it defines and those that it takes from others."""
    subprocess.run(
        [
            "gcc", "-std=c17", "-O0", "-w", "-ffreestanding", "-fno-builtin", "-fno-stack-protector",
            f"-I{NATIVE / 'include'}", f"-I{LIBOS}", "-c", source, "-o", target,
        ],
        check=True, timeout=120,
    )  # fmt: skip
    done = subprocess.run(["nm", "-f", "posix", target], check=True, capture_output=True, text=True)
    kinds = [line.split()[:2] for line in done.stdout.splitlines()]
    return {name for name, kind in kinds if kind in "TDBRC"}, {name for name, kind in kinds if kind == "U"}


def test_no_symbol_is_taken_from_above(rooms: ModuleType, tmp_path: Path) -> None:
    """A prototype written by hand would pass by the includes."""
    if shutil.which("gcc") is None or shutil.which("nm") is None:
        pytest.skip("gcc and nm are needed to compile each file on its own")
    sources = [path for path in sorted(LIBOS.glob("*/*")) if path.suffix in {".c", ".S"}]
    targets = [tmp_path / f"{number}.o" for number in range(len(sources))]
    with ThreadPoolExecutor() as pool:
        tables = dict(zip(sources, pool.map(_symbols, sources, targets), strict=True))
    home = {name: path.parent.name for path, (defined, _) in tables.items() for name in defined}
    upwards = defaultdict(set)
    for path, (_, taken) in tables.items():
        room = path.parent.name
        for name in taken - rooms.CALLED_BY_NAME:
            if name in home and rooms.is_below(room, home[name]):
                upwards[str(path)].add(name)
    assert dict(upwards) == {}
