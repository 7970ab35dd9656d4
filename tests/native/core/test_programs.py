"""Programs that check the LibOS's promises from inside, natively first, then in the enclave."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.tee import TeeTree

PROGRAMS = REPOSITORY / "tests" / "native" / "programs"
NATIVE = REPOSITORY / "enclavize" / "_native"
THREADS = 16
COUNTS = {
    "epolls": (),
    "inotify": (),
    "last_thread": (),
    "clocks": (),
    "new_thread": (),
    "step_down": (),
    "arguments": (),
    "limits": (),
    "locks": (),
    "queued_signals": (),
    "interval_timers": (),
    "memory": (),
    "names": (),
    "pipes": (),
    "seals": (),
    "splice": (),
    "xattrs": (),
    "posix_timers": (),
    "process_calls": (),
    "robust": (),
    "signal_descriptors": (),
    "sysv_ipc": (),
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
    return Converter.create(base).tree(
        image, "tree", "--debug", "--allow-args", "--set", f"threads={THREADS}"
    )


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


def processors_inside(tree: TeeTree, *wrapper: str) -> set[int]:
    """Return what each way to ask says."""
    done = tree.run("/processors", wrapper=wrapper)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return {int(word) for word in done.stdout.split()}


def test_processors_are_those_of_the_affinity_mask(tree: TeeTree) -> None:
    allowed = os.sched_getaffinity(0)
    assert processors_inside(tree) == {min(len(allowed), THREADS)}
    assert processors_inside(tree, "taskset", "-c", str(min(allowed))) == {1}


def test_processors_are_those_of_the_quota_rounded_up(tree: TeeTree) -> None:
    with control_group(quota=150_000, period=100_000) as join:
        assert processors_inside(tree, *join) == {min(2, len(os.sched_getaffinity(0)))}
    with control_group(quota=20_000, period=100_000) as join:
        assert processors_inside(tree, *join) == {1}


@contextmanager
def control_group(*, quota: int, period: int) -> Iterator[tuple[str, ...]]:
    """Make a group with this quota in microseconds; yields what starts a command in it."""
    base, files = next(
        (
            (base, files)
            for base, files in (
                (
                    Path("/sys/fs/cgroup/cpu"),
                    {"cpu.cfs_period_us": f"{period}", "cpu.cfs_quota_us": f"{quota}"},
                ),
                (Path("/sys/fs/cgroup"), {"cpu.max": f"{quota} {period}"}),
            )
            if (base / "cgroup.procs").is_file()
        ),
        (None, {}),
    )
    if base is None:
        pytest.skip("no control groups are mounted")
    group = base / f"enclavize-test-{os.getpid()}"
    try:
        group.mkdir()
        for name, value in files.items():
            (group / name).write_text(value)
    except OSError as error:
        pytest.skip(f"a control group with a quota cannot be made: {error}")
    try:
        yield "sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"
    finally:
        group.rmdir()
