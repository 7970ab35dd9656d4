"""Hosts that ignore requests about rights: what the program sees is right, or the enclave ends."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.liar import LIAR
from support.programs import REPOSITORY, need
from support.scale import scaled
from support.tee import Converter, ordinary_image
from support.torture import NATIVE, compile_as

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

PROGRAMS = REPOSITORY / "tests" / "native" / "programs"
FATAL_STATUS = 127
"""base.h."""


@pytest.fixture(scope="module")
def runelet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the runelet with the PAL of rights.c."""
    pal = [path for path in sorted((NATIVE / "pal").glob("*.[cS]")) if path.name != "ocall_memory.c"]
    sources = [*pal, *sorted((NATIVE / "runelet").glob("*.c")), LIAR / "rights.c"]
    return compile_as("runelet", tmp_path_factory.mktemp("rights") / "runelet", sources, ["-Ipal"])


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that maps files, static; beside it is the one that forks."""
    need("musl-gcc")
    folder = tmp_path_factory.mktemp("mix")
    for name in ("mapping_mix", "fork_mix"):
        source = PROGRAMS / f"{name}.c"
        subprocess.run(["musl-gcc", "-static", "-O2", source, "-o", folder / name], check=True)
    return folder / "mapping_mix"


@pytest.fixture(scope="module")
def tree(mix: Path, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    need("umoci", "skopeo")
    base = tmp_path_factory.mktemp("tee")
    (base / "root" / "data").mkdir(parents=True)
    for name in ("mapping_mix", "fork_mix"):
        shutil.copy(mix.with_name(name), base / "root" / name)
    image = ordinary_image(base / "layout", base / "root", config=["--config.cmd", "/mapping_mix"])
    return Converter.create(base).tree(image, "tree", "--debug", "--allow-args", "--volume", "/data")


def run(
    runelet: Path, tree: TeeTree, lie: str, *arguments: str, program: str = "/mapping_mix"
) -> subprocess.CompletedProcess[bytes]:
    environment = {
        "ENCLAVIZE_ROOT": str(tree.root),
        "ENCLAVIZE_INSTANCE": str(tree.instance),
        "ENCLAVIZE_SIMULATE": "1",
        "LIAR_RIGHTS": lie,
    }
    return subprocess.run(
        [runelet, program, *arguments], env=environment, capture_output=True, check=False, timeout=300
    )


@pytest.mark.parametrize("seed", range(1, 4))
def test_rights_are_those_of_the_epcm_whatever_the_page_tables_say(
    seed: int, runelet: Path, tree: TeeTree, mix: Path, tmp_path: Path
) -> None:
    """Which pages were stored to is known, stores to read-only views fault, nothing is lost."""
    count, file = str(scaled(20_000, least=500)), tmp_path / "file"
    for where, native in (("memfd", "memfd"), ("/data/file", str(file))):
        expected = subprocess.run([mix, str(seed), count, native], capture_output=True, check=True).stdout
        done = run(runelet, tree, "tables", str(seed), count, where)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()
    assert (tree.root / "data" / "file").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("lie", ["nothing", "2", "7", "100"])
def test_a_request_that_is_not_served_ends_the_enclave_or_changes_nothing(
    lie: str, runelet: Path, tree: TeeTree, mix: Path
) -> None:
    count = str(scaled(20_000, least=500))
    expected = subprocess.run([mix, "5", count, "memfd"], capture_output=True, check=True).stdout
    done = run(runelet, tree, lie, "5", count, "memfd")
    if done.returncode == 0:
        assert done.stdout == expected
        assert lie not in ("nothing", "2", "7")
    else:
        assert done.returncode == FATAL_STATUS, done.stderr.decode()
        assert done.stdout == b""
        assert b"the host did not change" in done.stderr


@pytest.mark.parametrize("lie", ["tables", "nothing", "2", "7", "100"])
def test_no_store_reaches_the_memory_of_a_process_that_takes_turns(
    lie: str, runelet: Path, tree: TeeTree, mix: Path
) -> None:
    """Which pages differ after a fork is known from the EPCM; without its rights the enclave ends."""
    expected = subprocess.run([mix.with_name("fork_mix"), "3", "600"], capture_output=True, check=True).stdout
    done = run(runelet, tree, lie, "3", "600", program="/fork_mix")
    if done.returncode == 0:
        assert done.stdout == expected
        assert lie in ("tables", "100")
    else:
        assert done.returncode == FATAL_STATUS, done.stderr.decode()
        assert lie != "tables"
        told = (b"the host did not change", b"enclave: exception 14 ")  # or it faults at such a page itself
        assert any(text in done.stderr for text in told)
