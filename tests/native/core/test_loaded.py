"""What stays of programs that have ended for others of the same files, and goes when memory is wanted."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need, need_native, static_pie_musl, with_libraries
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

SOURCE = REPOSITORY / "tests" / "native" / "programs" / "loaded.c"
PROGRAMS = ("dynamic", "dynamic-fixed", "static", "static-fixed")


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the program for glibc's loader, and static; for any address, and for one."""
    need("gcc", "musl-gcc", "umoci", "skopeo")
    need_native()
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)
    compile_ = ("-O2", "-Wall", "-Wextra", SOURCE, "-o")
    subprocess.run(["gcc", "-pie", "-fPIE", *compile_, folder / "dynamic"], check=True)
    subprocess.run(["gcc", "-no-pie", *compile_, folder / "dynamic-fixed"], check=True)
    subprocess.run(["musl-gcc", "-static", *compile_, folder / "static-fixed"], check=True)
    static_pie_musl(SOURCE, folder / "static")
    with_libraries(folder, folder / "dynamic", folder / "dynamic-fixed")
    return folder


@pytest.fixture(scope="module")
def tree(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """Return the programs as a debug TEE image with little memory."""
    base = tmp_path_factory.mktemp("tee")
    image = ordinary_image(base / "layout", rootfs, config=["--config.cmd", "/static"])
    return Converter.create(base).tree(image, "tree", "--debug", "--allow-args", "--set", "memory=48M")


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_does_to_its_text_is_its_own(program: str, tree: TeeTree, rootfs: Path) -> None:
    native = subprocess.run([rootfs / program], capture_output=True, check=False, timeout=120)
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run(f"/{program}")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


def reads(tree: TeeTree, program: str, times: int) -> int:
    """Return how often the host was asked for bytes of files while a program started another so often."""
    done = tree.run(f"/{program}", "repeat", str(times), env={"ENCLAVIZE_PROFILE": "json"})
    assert done.returncode == 0, done.stderr.decode()
    rows = json.loads(done.stderr.splitlines()[-1])["ocalls"]
    return sum(int(row["calls"]) for row in rows if row["name"] == "DATA_READ")


@pytest.mark.parametrize("program", ["dynamic", "static"])
def test_a_program_that_starts_again_is_not_read_again(program: str, tree: TeeTree) -> None:
    assert reads(tree, program, 12) <= reads(tree, program, 2) + 2


@pytest.mark.parametrize("program", ["dynamic", "static"])
def test_what_is_kept_goes_before_memory_runs_out(program: str, tree: TeeTree) -> None:
    done = tree.run(f"/{program}", "fill")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"filled\n"
