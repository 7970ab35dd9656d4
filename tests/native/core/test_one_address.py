"""Programs that are linked for one address take turns there, and keep in place what they have elsewhere."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need, need_native
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

SOURCE = REPOSITORY / "tests" / "native" / "programs" / "apart.c"
PLACES = {"low": 0x400000, "astride": 0xFFE0000, "high": 0x20000000}
"""Where other mappings come to lie, from 256 MiB on, and astride of that."""
MIB = 2
"""Of heap, and of other memory, of each of three programs."""


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the program, static, for each place."""
    need("musl-gcc", "umoci", "skopeo")
    need_native()
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)
    for name, address in PLACES.items():
        place = f"-Wl,-Ttext-segment={address:#x}"
        command = ("musl-gcc", "-static", "-no-pie", "-O2", "-Wall", "-Wextra", place, SOURCE)
        subprocess.run([*command, "-o", folder / name], check=True)
    return folder


@pytest.fixture(scope="module")
def tree(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """Return the programs as a debug TEE image."""
    base = tmp_path_factory.mktemp("tee")
    image = ordinary_image(base / "layout", rootfs, config=["--config.cmd", "/low"])
    return Converter.create(base).tree(image, "tree", "--debug", "--allow-args", "--set", "memory=128M")


@pytest.mark.parametrize("forks", [(), ("forks",)], ids=["alone", "forks"])
@pytest.mark.parametrize("name", PLACES)
def test_each_program_finds_its_own_memory(
    name: str, forks: tuple[str, ...], tree: TeeTree, rootfs: Path
) -> None:
    arguments = (str(scaled(200, least=12)), str(MIB), *forks)
    native = subprocess.run([rootfs / name, *arguments], capture_output=True, check=False, timeout=120)
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run(f"/{name}", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


def pages_added(tree: TeeTree, name: str, turns: int) -> int:
    """Return how many pages came while three programs took so many turns."""
    done = tree.run(f"/{name}", str(turns), str(MIB), env={"ENCLAVIZE_PROFILE": "json"})
    assert done.returncode == 0, done.stderr.decode()
    profile = json.loads(next(line for line in done.stderr.splitlines() if line.startswith(b"{")))
    return int(profile["machine"]["pagesAdded"])


def test_what_lies_elsewhere_stays_in_place(tree: TeeTree) -> None:
    few, many = 2, 22
    more = pages_added(tree, "low", many) - pages_added(tree, "low", few)
    assert more < (many - few) * (MIB << 20) // 4096, f"{more} pages more came in {many - few} rounds"
