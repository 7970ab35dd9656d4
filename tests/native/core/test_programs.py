"""Programs that check the LibOS's promises from inside, natively first, then in the enclave."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

PROGRAMS = REPOSITORY / "tests" / "native" / "programs"
NATIVE = REPOSITORY / "enclavize" / "_native"
COUNTS = {
    "last_thread": (),
    "new_thread": (),
    "step_down": (),
    "arguments": (),
    "limits": (),
    "locks": (),
    "queued_signals": (),
    "memory": (),
    "signals": (),
    "threads": (scaled(20_000),),
    "storm": (scaled(40_000),),
}


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the programs, static."""
    need("musl-gcc", "umoci", "skopeo")
    if not (NATIVE / "libos.so").is_file():
        pytest.skip("the native components have not been built")
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)  # other users of the image go through it, too
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    for source in sorted(PROGRAMS.glob("*.c")):
        subprocess.run(
            [
                "musl-gcc",
                "-static",
                "-O2",
                "-Wall",
                "-Wextra",
                source,
                "-o",
                folder / source.stem,
                "-pthread",
            ],
            check=True,
        )
    return folder


@pytest.fixture(scope="module")
def tree(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """Return the programs as a debug TEE image."""
    base = tmp_path_factory.mktemp("tee")
    image = ordinary_image(base / "layout", rootfs, config=["--config.cmd", "/memory"])
    return Converter.create(base).tree(image, "tree", "--debug", "--allow-args", "--set", "threads=16")


@pytest.mark.parametrize("name", COUNTS)
def test_program_finds_what_linux_promises(name: str, tree: TeeTree, rootfs: Path) -> None:
    arguments = [str(count) for count in COUNTS[name]]
    native = subprocess.run([rootfs / name, *arguments], capture_output=True, check=False, timeout=120)
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run(f"/{name}", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


@pytest.mark.parametrize("seed", range(1, 4))
def test_libos_survives_random_system_calls(seed: int, tree: TeeTree) -> None:
    done = tree.run("/fuzz_calls", str(seed), str(scaled(1_000_000)))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"calls ok\n"
