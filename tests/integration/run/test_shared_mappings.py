"""Programs that live by shared mappings: SQLite's write-ahead log, LMDB, Java's file channels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import need, with_libraries
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from support.tee import TeeTree

pytestmark = pytest.mark.integration

SOURCES = Path(__file__).parent / "mapped"
COMPILE = ("gcc", "-O2", "-Wall", "-Wextra", "-pthread")


def tree_of(base: Path, root: Path, command: str, *options: str) -> TeeTree:
    """Convert the files below ``root`` into a TEE image whose volume is /data."""
    need("umoci", "skopeo")
    for name in ("tmp", "data"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o1777)
    image = ordinary_image(base / "layout", root, config=["--config.cmd", command])
    options = ("--debug", "--allow-args", "--volume", "/data", *options)
    return Converter.create(base).tree(image, "tree", *options)


def compile_with(library: str, source: str, base: Path) -> tuple[Path, Path]:
    """Compile a program with a library of the machine's; return it and a root with it as /program."""
    need("gcc")
    program, root = base / "program", base / "root"
    done = subprocess.run(
        [*COMPILE, SOURCES / source, "-o", program, f"-l{library}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"{library} and its header are not installed")
    root.mkdir()
    shutil.copy(program, root / "program")
    with_libraries(root, program)
    return program, root


def run_natively(*command: str | Path) -> bytes:
    return subprocess.run([*map(str, command)], capture_output=True, check=True, timeout=300).stdout


def test_sqlite_keeps_its_integrity_with_a_mapped_log(tmp_path: Path) -> None:
    program, root = compile_with("sqlite3", "wal.c", tmp_path)
    tree, rounds = tree_of(tmp_path, root, "/program"), str(scaled(2_000))
    expected = run_natively(program, tmp_path / "native.db", rounds)
    assert expected.startswith(b"ok ")
    for file in ("/tmp/file.db", "/data/file.db"):
        done = tree.run("/program", file, rounds)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()
    if shutil.which("sqlite3"):  # what the host finds
        question = "pragma integrity_check; select total from sums"
        answer = run_natively("sqlite3", tree.root / "data" / "file.db", question)
        assert answer.split() == expected.split()[:2]


@pytest.mark.parametrize("mode", ["plain", "writemap"])
def test_lmdb_shows_each_reader_one_state(tmp_path: Path, mode: str) -> None:
    program, root = compile_with("lmdb", "environment.c", tmp_path)
    tree, count = tree_of(tmp_path, root, "/program"), str(scaled(4_000))
    (tmp_path / "native").mkdir()
    expected = run_natively(program, tmp_path / "native", count, mode)
    for folder in ("/tmp", "/data"):
        done = tree.run("/program", folder, count, mode)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()


def test_java_maps_a_file_for_reading_and_writing(tmp_path: Path) -> None:
    need("javac", "jlink", "java")
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["javac", "-d", root, SOURCES / "Mapped.java"], check=True, capture_output=True)
    options = ["--add-modules", "java.base", "--strip-debug", "--no-man-pages", "--no-header-files"]
    subprocess.run(["jlink", *options, "--output", root / "jre"], check=True, capture_output=True)
    with_libraries(root, root / "jre" / "bin" / "java", *sorted((root / "jre" / "lib").rglob("*.so")))
    tree = tree_of(tmp_path, root, "/jre/bin/java", "--set", "memory=4G")
    expected = run_natively("java", "-cp", root, "Mapped", tmp_path / "file")
    for file in ("/tmp/file", "/data/file"):
        done = tree.run("/jre/bin/java", "-Xmx128m", "-XX:+UseSerialGC", "-cp", "/", "Mapped", file)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()
    assert (tree.root / "data" / "file").read_bytes() == (tmp_path / "file").read_bytes()
