"""Shared mappings against a model, and files of volumes: natively, in memory, and on a volume."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need, need_native, need_root
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from pathlib import Path

    from support.tee import TeeTree

PROGRAMS = REPOSITORY / "tests" / "native" / "programs"
NATIVE = REPOSITORY / "enclavize" / "_native"
NAMES = ("mapping_mix", "shared_views", "synced", "volume_files", "meetings", "appenders")
MEASURED = bytes(range(256)) * 64


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the programs, static, and a file that is measured."""
    need("musl-gcc", "umoci", "skopeo")
    need_native()
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)
    for name in ("tmp", "data"):
        (folder / name).mkdir()
        (folder / name).chmod(0o1777)
    (folder / "measured").write_bytes(MEASURED)
    for name in NAMES:
        subprocess.run(
            ["musl-gcc", "-static", "-O2", "-Wall", "-Wextra", PROGRAMS / f"{name}.c", "-o", folder / name,
             "-pthread"],
            check=True,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def tree(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """Return the programs as a debug TEE image with a volume."""
    base = tmp_path_factory.mktemp("tee")
    image = ordinary_image(base / "layout", rootfs, config=["--config.cmd", "/shared_views"])
    return Converter.create(base).tree(
        image, "tree", "--debug", "--allow-args", "--set", "threads=16", "--volume", "/data"
    )


def native(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Run a program without an enclave; return its output."""
    done = subprocess.run([*map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("where", ["memfd", "/tmp/file", "/dev/shm/file", "/data/file"])
@pytest.mark.parametrize("seed", range(1, 4))
def test_random_accesses_see_one_file(
    seed: int, where: str, tree: TeeTree, rootfs: Path, tmp_path: Path
) -> None:
    """The program checks each step; the output must be the same, and what a volume keeps."""
    count = str(scaled(30_000, least=500))
    file = tmp_path / "file"
    expected = native(rootfs / "mapping_mix", str(seed), count, where if where == "memfd" else file)
    done = tree.run("/mapping_mix", str(seed), count, where)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == expected
    if where.startswith("/data"):
        assert (tree.root / "data" / "file").read_bytes() == file.read_bytes()


def test_views_show_one_memory(tree: TeeTree, rootfs: Path, tmp_path: Path) -> None:
    """Rings, compilers' double mappings, threads at two views, futexes, what is locked."""
    (tmp_path / "measured").write_bytes(MEASURED)
    arguments = (str(scaled(40_000)),)
    expected = native(rootfs / "shared_views", *arguments, tmp_path / "measured", tmp_path)
    done = tree.run("/shared_views", *arguments, "/measured", "/data")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == expected
    stored = (tree.root / "data" / "stored").read_bytes()
    assert stored == (tmp_path / "stored").read_bytes() == b"stored".ljust(8192, b"\0")


def test_files_of_volumes_have_owners_names_and_one_size(tree: TeeTree, rootfs: Path, tmp_path: Path) -> None:
    """Servers give their data to a user, replace files by renaming, extend them in forked workers."""
    need_root()
    expected = native(rootfs / "volume_files", tmp_path / "own")
    for folder in ("/data/own", "/tmp/own"):
        done = tree.run("/volume_files", folder)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()
    assert {path.stat().st_uid for path in (tree.root / "data" / "own" / "theirs").iterdir()} == {1234}


def test_programs_meet_at_names_of_volumes(tree: TeeTree, rootfs: Path, tmp_path: Path) -> None:
    """FIFOs and Unix sockets: the host keeps their names, and nothing of what goes through them."""
    need_root()
    expected = native(rootfs / "meetings", tmp_path / "own")
    for folder in ("/data/meetings", "/tmp/meetings"):
        done = tree.run("/meetings", folder)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()


def test_names_of_the_hosts_lead_to_nobody_outside(tree: TeeTree) -> None:
    """The host's socket listens, and the host's FIFO has a reader: neither is reached."""
    folder = tree.root / "data"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "listener"))
        listener.listen()
        os.mkfifo(folder / "fifo")
        reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        try:
            done = tree.run("/meetings", "/data", "alone")
            assert (done.returncode, done.stdout) == (0, b"nobody\n"), done.stderr.decode()
        finally:
            os.close(reader)
            (folder / "listener").unlink()
            (folder / "fifo").unlink()


@pytest.mark.parametrize("folder", ["/tmp", "/data"])
def test_writers_do_not_mix_and_nothing_is_cut_short(
    folder: str, tree: TeeTree, rootfs: Path, tmp_path: Path
) -> None:
    """Logs of several threads and processes; timers' signals; messages in two parts."""
    count = str(scaled(20_000))
    expected = native(rootfs / "appenders", tmp_path, count)
    done = tree.run("/appenders", folder, count)
    assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()


def test_enclaves_append_to_one_file(tree: TeeTree) -> None:
    """The host finds the end for each piece, so nobody writes over what another enclave has appended."""
    count = scaled(20_000)
    file = tree.root / "data" / "appended"
    file.write_bytes(b"")
    started = [tree.start("/appenders", "/data", str(count), letter) for letter in "abc"]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()
    lines = file.read_bytes().splitlines(keepends=True)
    assert sorted(set(lines)) == [letter * 15 + b"\n" for letter in (b"a", b"b", b"c")]
    assert [lines.count(line) for line in sorted(set(lines))] == [count] * 3
    file.unlink()


def test_sync_asks_the_host_for_its_volumes(tree: TeeTree, rootfs: Path, tmp_path: Path) -> None:
    """What was stored to a mapping is there while it goes on; the host is asked once for each call."""
    assert native(rootfs / "synced", tmp_path, stdin=b"..") == b"synced\nsynced\n"
    with tree.start("/synced", "/data", env={"ENCLAVIZE_PROFILE": "json"}, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for content in (b"by sync", b"by syncfs"):
            assert process.stdout.readline() == b"synced\n"
            assert (tree.root / "data" / "file").read_bytes() == content.ljust(4096, b"\0")
            process.stdin.write(b".")
            process.stdin.flush()
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    ocalls = json.loads(next(line for line in said.splitlines() if line.startswith(b"{")))["ocalls"]
    assert [item["calls"] for item in ocalls if item["name"] == "SYNC_ALL"] == [3]
