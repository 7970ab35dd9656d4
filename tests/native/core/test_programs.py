"""Programs that check the LibOS's promises from inside, natively first, then in the enclave."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.access_lists import access_list
from support.programs import REPOSITORY, need, need_native, static_pie_musl
from support.scale import scaled
from support.tee import Converter, TeeTree, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = REPOSITORY / "tests" / "native" / "programs"
NATIVE = REPOSITORY / "enclavize" / "_native"
THREADS = 16
MEASURED_PAGES = 2500
"""More than a text that is read at once."""
IMAGE_LISTS = (
    (0o640, access_list((1, 6), (2, 4, 1000), (2, 0, 1001), (4, 0), (16, 4), (32, 4))),
    (0o664, access_list((1, 6), (2, 7, 1002), (4, 2), (8, 4, 1000), (8, 6, 2001), (16, 6), (32, 4))),
    (0o604, access_list((1, 6), (2, 7, 1000), (4, 4), (16, 0), (32, 4))),
    (0o644, access_list((1, 6), (4, 4), (32, 4))),
)
"""Modes and lists: users closed out and let in, groups, an empty mask, no more than the mode."""
PING_PONGS = 2000
SLEEPS = 400
"""Of a millisecond."""
KIB_OF_SAME_TEXT = 8 << 10
"""One copy, and what is read but was not yet compared."""
KIB_OF_MANY_CHILDREN = 2048
"""What the LibOS keeps for the next ones; each child that were not given back is 40 KiB or more."""
COUNTS = {
    "at_once": (scaled(2_000, least=100),),
    "devices": (),
    "epoll_items": (),
    "epolls": (),
    "features": (),
    "file_kinds": (),
    "holes": (),
    "inotify": (),
    "interrupted_polls": (),
    "killed_in_turn": (),
    "last_descriptor": (),
    "last_thread": (),
    "clocks": (),
    "new_thread": (),
    "step_down": (),
    "advice": (),
    "arguments": (),
    "asynchronous_io": (),
    "awaited_signals": (),
    "growing": (),
    "locked_memory": (),
    "leases": (),
    "limits": (),
    "locks": (),
    "queued_signals": (),
    "futexes": (),
    "interval_timers": (),
    "processor_times": (),
    "memory": (),
    "names": (),
    "openat2": (),
    "roots": (),
    "sealed_memory": (),
    "timeouts": (),
    "owners": (),
    "job_control": (),
    "pipes": (),
    "pointers": (),
    "ptys": (),
    "seals": (),
    "shared_segments": (),
    "sparse": (),
    "short_transfers": (),
    "splice": (),
    "statuses": (),
    "xattrs": (),
    "posix_timers": (),
    "barriers": (scaled(600),),
    "descriptors": (),
    "message_queues": (),
    "stack_limit": (),
    "proc_files": (),
    "reapers": (scaled(2_000, least=50),),
    "requests": (),
    "process_calls": (),
    "rare_calls": (),
    "read_ahead": (scaled(200_000, least=10_000),),
    "other_processes": (scaled(2_000, least=50),),
    "robust": (),
    "signal_descriptors": (),
    "sysv_ipc": (),
    "signals": (),
    "first_and_last_words": (),
    "group_signals": (),
    "many_sockets": (),
    "shared_sockets": (scaled(20_000, least=2_000),),
    "tcp": (),
    "udp": (),
    "unix_sockets": (),
    "waits": (),
    "whole_reads": (scaled(100_000, least=5_000),),
    "whole_transfers": (scaled(40_000, least=2_000),),
    "ready_sockets": (scaled(1_000, least=100),),
    "threads": (scaled(20_000),),
    "told_of_itself": (),
    "sharing": (),
    "spawn": (),
    "execute": (),
    "forks": (),
    "loaded": (),
    "lost_turns": (),
    "reused_places": (),
    "storm": (scaled(40_000),),
}


STARTERS = {"execute", "forks", "loaded", "many_children", "ptys", "reused_places", "spawn"}
"""They start themselves anew. Position independent, so that both run at once; ``NAME-fixed`` is not."""
ELSEWHERE = frozenset({"attestation"})
"""They are linked with more than a C library, by tests of their own."""


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the programs, static."""
    need("musl-gcc", "umoci", "skopeo")
    need_native()
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)  # other users of the image go through it, too
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    page = bytes(at * 31 & 0xFF for at in range(4096))
    pages = [bytes((byte + number * 17) & 0xFF for byte in page) for number in range(256)]
    measured = b"".join(pages[number % 256] for number in range(MEASURED_PAGES))
    (folder / "measured").write_bytes(measured[:-1234])
    (folder / "lists").mkdir()
    (folder / "lists").chmod(0o755)
    for number, (mode, value) in enumerate(IMAGE_LISTS):
        listed = folder / "lists" / str(number)
        listed.write_text("listed\n")
        listed.chmod(mode)
        with suppress(OSError):  # where files cannot have lists, these are files as others
            os.setxattr(listed, "system.posix_acl_access", value)
    for source in sorted(PROGRAMS.glob("*.c")):
        if source.stem in ELSEWHERE:
            continue
        if source.stem in STARTERS:
            static_pie_musl(source, folder / source.stem, "-pthread")
        fixed = f"{source.stem}-fixed" if source.stem in STARTERS else source.stem
        subprocess.run(
            [
                "musl-gcc",
                "-static",
                "-O2",
                "-Wall",
                "-Wextra",
                source,
                "-o",
                folder / fixed,
                "-pthread",
            ],
            check=True,
        )
    return folder


OPTIONS = ("--debug", "--allow-args", "--allow-network", "all", "--set", f"threads={THREADS}")


@pytest.fixture(scope="module")
def image(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the programs as an ordinary image."""
    base = tmp_path_factory.mktemp("image")
    return ordinary_image(base / "layout", rootfs, config=["--config.cmd", "/memory"])


@pytest.fixture(scope="module")
def tree(image: str, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """Return the programs as a debug TEE image."""
    return Converter.create(tmp_path_factory.mktemp("tee")).tree(image, "tree", *OPTIONS)


@pytest.fixture(scope="module")
def switchless_tree(image: str, tmp_path_factory: pytest.TempPathFactory) -> TeeTree:
    """Return the same whose calls two workers of the host serve."""
    base = tmp_path_factory.mktemp("switchless")
    return Converter.create(base).tree(image, "tree", *OPTIONS, "--set", "switchless=2")


@pytest.mark.parametrize("name", COUNTS)
def test_program_finds_what_linux_promises(name: str, tree: TeeTree, rootfs: Path) -> None:
    arguments = [str(count) for count in COUNTS[name]]
    native = subprocess.run([rootfs / name, *arguments], capture_output=True, check=False, timeout=120)
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run(f"/{name}", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


STRICT = tuple(COUNTS) if scaled(100) >= 100 else ("memory", "pipes", "signals", "spawn", "threads")


@pytest.mark.parametrize("name", STRICT)
def test_program_runs_in_strict_simulation(name: str, tree: TeeTree) -> None:
    arguments = [str(count) for count in COUNTS[name]]
    done = tree.run(f"/{name}", *arguments, env={"ENCLAVIZE_ENCLU": "trap"}, timeout=600)
    assert done.returncode == 0, done.stderr.decode()


SWITCHLESS = (
    tuple(COUNTS)
    if scaled(100) >= 100
    else ("barriers", "epolls", "forks", "futexes", "group_signals", "read_ahead", "tcp", "udp")
)


@pytest.mark.parametrize("enclu", ["gate", "trap"])
@pytest.mark.parametrize("name", SWITCHLESS)
def test_program_finds_the_same_with_switchless_calls(
    name: str, enclu: str, switchless_tree: TeeTree
) -> None:
    arguments = [str(count) for count in COUNTS[name]]
    done = switchless_tree.run(f"/{name}", *arguments, env={"ENCLAVIZE_ENCLU": enclu}, timeout=600)
    assert done.returncode == 0, done.stderr.decode()


FIRST_PROCESS = ("unshare", "--pid", "--fork", "--kill-child")


@pytest.mark.parametrize(
    ("argv", "end"),
    [((), None), (("abort",), signal.SIGSEGV), (("trap",), signal.SIGILL)],
    ids=["nothing", "abort", "trap"],
)
def test_signals_that_the_first_process_does_not_handle(
    argv: tuple[str, ...], end: signal.Signals | None, tree: TeeTree, rootfs: Path
) -> None:
    if os.geteuid() == 0:
        words = [*FIRST_PROCESS, str(rootfs / "first_process"), *argv]
        native = subprocess.run(words, capture_output=True, check=False, timeout=120)
        assert native.returncode == (-end if end else 0), native.stderr.decode()
    done = tree.run("/first_process", *argv)
    assert done.returncode == (128 + end if end else 0), done.stderr.decode()


@pytest.mark.parametrize("seed", range(1, 4))
def test_libos_survives_random_system_calls(seed: int, tree: TeeTree) -> None:
    done = tree.run("/fuzz_calls", str(seed), str(scaled(1_000_000)))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"calls ok\n"


@pytest.mark.parametrize("name", sorted(STARTERS - {"many_children", "ptys"}))
def test_programs_that_are_linked_for_one_address_take_turns(name: str, tree: TeeTree, rootfs: Path) -> None:
    native = subprocess.run([rootfs / f"{name}-fixed"], capture_output=True, check=False, timeout=120)
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run(f"/{name}-fixed")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


@pytest.mark.parametrize("seed", range(1, 1 + scaled(100, least=3)))
def test_processes_that_take_turns_find_their_own_memory(seed: int, tree: TeeTree, rootfs: Path) -> None:
    native = subprocess.run(
        [rootfs / "fork_mix", str(seed), "600"], capture_output=True, check=False, timeout=120
    )
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run("/fork_mix", str(seed), "600")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


@pytest.mark.parametrize("name", ["many_children", "many_children-fixed"])
def test_memory_is_flat_over_many_children(name: str, tree: TeeTree) -> None:
    count = scaled(10_000) if name == "many_children" else scaled(2_000)
    done = tree.run(f"/{name}", str(count), timeout=3000)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < KIB_OF_MANY_CHILDREN, f"{done.stdout.decode()} KiB are gone"


def test_programs_of_one_address_share_what_is_only_read(tree: TeeTree) -> None:
    """Five of them, each with 4 MiB that it has read."""
    done = tree.run("/same_text")
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < KIB_OF_SAME_TEXT, f"{done.stdout.decode()} KiB are taken"


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


def observed(tree: TeeTree, *argv: str, **variables: str) -> list[str]:
    """Run a program under observation; return the lines of its standard error."""
    done = tree.run(*argv, env={f"ENCLAVIZE_{name.upper()}": value for name, value in variables.items()})
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode().splitlines()


def test_trace_is_what_strace_prints(tree: TeeTree) -> None:
    lines = observed(tree, "/observed", trace="1")
    for wanted in (
        'open("/missing", O_RDWR|O_LARGEFILE|O_CLOEXEC) = -1 ENOENT',
        'open("/tmp/new", O_RDWR|O_CREAT|O_EXCL|O_LARGEFILE, 0640) = 3',
        'write(3, "a line\\n\\0\\377\\"\\\\", 11) = 11',
        'pread64(3, "line\\n", 5, 2) = 5',
        "close(77) = -1 EBADF",
        "exit_group(0) = ?",
    ):
        assert wanted in lines
    mapped = "mmap(NULL, 65536, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x"
    assert any(line.startswith(mapped) for line in lines)


def test_pages_that_leave_and_come_are_given_back_together(tree: TeeTree) -> None:
    rounds, mib = 10, 8
    done = tree.run("/large_turns", str(rounds), str(mib), env={"ENCLAVIZE_PROFILE": "json"})
    assert done.returncode == 0, done.stderr.decode()
    profile = json.loads(next(line for line in done.stderr.splitlines() if line.startswith(b"{")))
    calls = {item["name"]: item["calls"] for item in profile["ocalls"]}
    pages = rounds * (mib << 20) // 4096
    assert calls["MEMORY_REMOVE"] < pages / 16


def test_who_has_the_turn_keeps_it_while_others_look_whose_it_is(tree: TeeTree) -> None:
    """Otherwise little but the exchange of memory goes on: thousands of calls instead of seven a round."""
    rounds = 100
    for _ in range(scaled(100, least=5)):
        done = tree.run("/busy_turns", str(rounds), env={"ENCLAVIZE_PROFILE": "json"})
        assert done.returncode == 0, done.stderr.decode()
        profile = json.loads(next(line for line in done.stderr.splitlines() if line.startswith(b"{")))
        calls = {item["name"]: item["calls"] for item in profile["ocalls"]}
        assert calls["MEMORY_REMOVE"] < 20 * rounds


def test_profile_counts_calls_errors_and_ways_out(tree: TeeTree) -> None:
    [line] = [line for line in observed(tree, "/observed", profile="json") if line.startswith("{")]
    profile = json.loads(line)
    calls = {item["name"]: item for item in profile["systemCalls"]}
    assert (calls["getppid"]["calls"], calls["getppid"]["transitions"]) == (100, 0)
    assert (calls["close"]["calls"], calls["close"]["errors"]) == (2, 1)
    assert calls["open"]["errors"] == 1
    assert {"DATA_OPEN", "MEMORY_ADD"} <= {item["name"] for item in profile["ocalls"]}
    lines = observed(tree, "/observed", profile="text")
    assert any(re.fullmatch(r" *[\d.]+ +[\d.]+ +\d+ +100 +0 +0 getppid", line) for line in lines)


def test_observation_of_a_production_enclave_is_refused(rootfs: Path, tmp_path: Path) -> None:
    image = ordinary_image(tmp_path / "layout", rootfs, config=["--config.cmd", "/observed"])
    tree = Converter.create(tmp_path).tree(image, "tree")
    for name, value in (("TRACE", "1"), ("PROFILE", "json")):
        done = tree.run(env={f"ENCLAVIZE_{name}": value})
        assert done.returncode == 125
        assert b"only debug enclaves are observed" in done.stderr
        assert b"open" not in done.stderr


def test_threads_on_one_processor_do_not_wait_inside(tree: TeeTree) -> None:
    one = str(min(os.sched_getaffinity(0)))
    environment = {"ENCLAVIZE_PROFILE": "json"}
    done = tree.run("/ping_pong", wrapper=("taskset", "-c", one), env=environment)
    assert done.returncode == 0, done.stderr.decode()
    profile = json.loads(next(line for line in done.stderr.splitlines() if line.startswith(b"{")))
    assert next(item["calls"] for item in profile["ocalls"] if item["name"] == "WAIT") > PING_PONGS
    assert tree.run("/ping_pong").returncode == 0


def test_clocks_come_along_with_other_calls(tree: TeeTree) -> None:
    """They hold for 10 ms: asked for by themselves, they would be 40 calls and more."""
    done = tree.run("/sleeps", str(SLEEPS), env={"ENCLAVIZE_PROFILE": "json"})
    assert done.returncode == 0, done.stderr.decode()
    profile = json.loads(next(line for line in done.stderr.splitlines() if line.startswith(b"{")))
    calls = {item["name"]: item["calls"] for item in profile["ocalls"]}
    assert calls["WAIT"] >= SLEEPS
    assert calls.get("CLOCK", 0) < SLEEPS / 20


def test_private_mappings_come_when_they_are_touched(tree: TeeTree, rootfs: Path) -> None:
    native = subprocess.run([rootfs / "private_maps", rootfs / "measured"], check=False, timeout=120)
    assert native.returncode == 0
    profile: dict[str, str] = {"ENCLAVIZE_PROFILE": "json"}
    done = tree.run("/private_maps", "/measured", env=profile)
    assert done.returncode == 0, done.stderr.decode()
    assert b"out of enclave memory" not in done.stderr  # behind the end of the file there is nothing to add
    done = tree.run("/private_maps", "/measured", "map", env=profile)
    report = json.loads(next(line for line in done.stderr.splitlines() if line.startswith(b"{")))
    mapped = next(item for item in report["systemCalls"] if item["name"] == "mmap")
    assert (mapped["calls"], mapped["transitions"]) == (1, 0)


def test_debug_log_says_why_a_page_does_not_come(tree: TeeTree) -> None:
    done = tree.run("/private_maps", "/measured", env={"ENCLAVIZE_LOG_LEVEL": "debug"})
    reason = rb"does not come \(errno 5\): private mapping at 0x\w+, offset 0x\w+ behind the end of its file"
    assert done.returncode == 0
    assert re.search(reason, done.stderr)


def test_changed_page_that_is_touched_is_a_bus_error(tree: TeeTree, tmp_path: Path) -> None:
    changed = TeeTree(root=tmp_path / "tree")
    shutil.copytree(tree.root, changed.root, symlinks=True)
    with (changed.root / "measured").open("r+b") as file:
        file.seek(6 << 20)
        file.write(b"changed")
    done = changed.run("/private_maps", "/measured")
    assert done.returncode == 128 + signal.SIGBUS, done.stderr.decode()
    assert b"the data differs from what was measured" in done.stderr


MEMORY = "/dev/shm/mix"
"""Natively a tmpfs; inside the same, and beside it a directory of the measured root."""


def _linux() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


def _is_new_linux_with_tmpfs() -> bool:
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return _linux() >= (6, 11) and any(line.split()[1:3] == ["/dev/shm", "tmpfs"] for line in mounts)


@pytest.mark.skipif(
    not _is_new_linux_with_tmpfs(),
    reason="needs Linux 6.11 or later, with a tmpfs at /dev/shm",
)
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("place", [MEMORY, "/mix"], ids=["memory", "over the image"])
def test_random_operations_on_files_give_what_linux_gives(
    seed: int, place: str, tree: TeeTree, rootfs: Path
) -> None:
    arguments = [str(seed), str(scaled(400_000))]
    native = subprocess.run(
        [rootfs / "file_mix", *arguments, MEMORY], capture_output=True, check=False, timeout=120
    )
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run("/file_mix", *arguments, place)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


@pytest.mark.skipif(_linux() < (6, 14), reason="needs Linux 6.14 or later: others look in another order")
@pytest.mark.skipif(
    not _is_new_linux_with_tmpfs(),
    reason="needs Linux 6.11 or later, with a tmpfs at /dev/shm",
)
def test_random_access_lists_give_what_linux_gives(tree: TeeTree, rootfs: Path) -> None:
    arguments = ["1", str(scaled(1_000, least=100))]
    native = subprocess.run(
        [rootfs / "access_lists", *arguments], capture_output=True, check=False, timeout=120
    )
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run("/access_lists", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


def test_access_lists_of_the_image_decide_as_natively(tree: TeeTree, rootfs: Path) -> None:
    if "system.posix_acl_access" not in os.listxattr(rootfs / "lists" / "0"):
        pytest.skip("needs a file system with access lists")
    arguments = [f"lists/{number}" for number in range(len(IMAGE_LISTS))]
    native = subprocess.run(
        [rootfs / "access_lists", *arguments], cwd=rootfs, capture_output=True, check=False, timeout=120
    )
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run("/access_lists", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout


@pytest.mark.parametrize("seed", range(1, 4))
def test_random_operations_on_sockets_give_what_linux_gives(seed: int, tree: TeeTree, rootfs: Path) -> None:
    arguments = [str(seed), str(scaled(40_000))]
    native = subprocess.run(
        [rootfs / "socket_mix", *arguments], capture_output=True, check=False, timeout=120
    )
    assert native.returncode == 0, native.stderr.decode()
    done = tree.run("/socket_mix", *arguments)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == native.stdout
