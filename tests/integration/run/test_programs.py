"""Unmodified programs give the same output and exit code in the enclave as in a chroot of the same image."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integration.run.conftest import Corpus

pytestmark = pytest.mark.integration

DIRECTORIES = ("/bin", "/etc", "/home", "/lib", "/usr", "/var")


TOTAL = re.compile(rb"total (\d+)")
MAP_BLOCK = 4  # KiB: the leaf of its extent tree, of which a scattered file has one


def without_totals(output: bytes) -> list[bytes]:
    """Return the lines but for the blocks of folders."""
    return [line for line in output.splitlines() if not TOTAL.fullmatch(line)]


def totals(output: bytes) -> list[tuple[int, int]]:
    """Return of each folder listed the KiB of its files, and how many lines tell of them."""
    parts = re.split(rb"(?m)^total (\d+)\n", output)[1:]
    return [
        (int(number), len(lines.split(b"\n\n")[0].splitlines()))
        for number, lines in zip(parts[::2], parts[1::2], strict=True)
    ]


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(("/bin/hello",), id="static musl"),
        pytest.param(("/bin/hello", "7"), id="exit code 7"),
        pytest.param(("/bin/hello-pie", "3"), id="static-PIE musl"),
        pytest.param(("/bin/dynamic",), id="dynamic musl with two shared libraries"),
        pytest.param(("/bin/goroutines",), id="1000 goroutines under garbage collection"),
        pytest.param(("/bin/busybox", "ls", "-lR", *DIRECTORIES), id="ls -lR"),
        pytest.param(("/bin/busybox", "ls", "-lan", "/home/user", "/etc"), id="ls -lan"),
        pytest.param(("/bin/busybox", "sha256sum", "/usr/share/lines", "/bin/goroutines"), id="sha256sum"),
        pytest.param(("/bin/busybox", "cat", "/usr/share/data-too"), id="cat of a hard link"),
        pytest.param(("/bin/busybox", "sort", "/usr/share/lines"), id="sort of 50 MB"),
        pytest.param(("/bin/busybox", "wc", "/usr/share/lines"), id="wc"),
        pytest.param(("/bin/busybox", "readlink", "-f", "/etc/link/er"), id="readlink"),
        pytest.param(("/bin/busybox", "cat", "/etc/broken"), id="missing file"),
        pytest.param(("/bin/sh", "-c", "cd /etc/link && pwd -P && echo $TZ && exit 5"), id="shell builtins"),
        pytest.param(("/bin/busybox", "find", "/usr", "-type", "f"), id="find"),
    ],
)
def test_output_and_exit_code_equal_those_of_a_chroot(corpus: Corpus, argv: tuple[str, ...]) -> None:
    native = corpus.native(*argv)
    enclave = corpus.enclave(*argv)
    assert enclave.status == native.status, enclave.stderr.decode(errors="replace")
    if argv[1:2] == ("find",):
        assert sorted(enclave.stdout.splitlines()) == sorted(native.stdout.splitlines())
    else:
        assert without_totals(enclave.stdout) == without_totals(native.stdout)
        for (inside, files), (outside, _) in zip(totals(enclave.stdout), totals(native.stdout), strict=True):
            assert inside <= outside <= inside + files * MAP_BLOCK


def test_standard_input_is_read_to_its_end(corpus: Corpus) -> None:
    text = b"".join(b"%d\n" % number for number in range(100_000, 0, -1))
    enclave = corpus.enclave("/bin/busybox", "sort", "-n", stdin=text)
    assert enclave.status == 0
    assert enclave.stdout == b"".join(sorted(text.splitlines(keepends=True), key=int))


def test_files_can_be_written_in_the_enclave(corpus: Corpus) -> None:
    script = (
        "echo one > /tmp/a && echo two >> /etc/os-release && "
        "while read l; do echo $l; done < /etc/os-release && read l < /tmp/a && echo $l"
    )
    enclave = corpus.enclave("/bin/sh", "-c", script)
    assert enclave.stdout == b"Corpus 1.0\ntwo\none\n", enclave.stderr


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, 137)],
    ids=str,
)
def test_an_unhandled_signal_ends_the_program(corpus: Corpus, number: signal.Signals, status: int) -> None:
    command = [*corpus.command(), corpus.tee, "/bin/busybox", "cat"]
    with subprocess.Popen(
        command, env=corpus.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"started\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"started\n"
        time.sleep(0.05)
        process.send_signal(number)
        try:
            assert process.wait(120) in (status, -number if number == signal.SIGKILL else status)
        finally:
            process.stdin.close()
            process.kill()


def test_an_unknown_system_call_is_named_at_debug_level_only_in_a_debug_build(corpus: Corpus) -> None:
    quiet = corpus.enclave("/bin/hello")
    assert b"not implemented" not in quiet.stderr


def test_simulation_is_strict_where_that_is_asked_for(corpus: Corpus) -> None:
    done = corpus.enclave("/bin/hello", "7", options=("--simulate=strict",))
    assert (done.stdout, done.status) == (corpus.native("/bin/hello", "7").stdout, 7)
    assert b"STRICT SIMULATION" in done.stderr
    assert b"STRICT" not in corpus.enclave("/bin/hello", options=("--simulate",)).stderr


def test_strict_simulation_may_be_asked_for_behind_the_image(corpus: Corpus) -> None:
    command = [sys.executable, "-m", "enclavize", "run", corpus.tee, "--simulate=strict", "/bin/hello", "7"]
    done = subprocess.run(command, env=corpus.environment, capture_output=True, check=False)
    assert (done.returncode, b"STRICT SIMULATION" in done.stderr) == (7, True), done.stderr


def test_simulation_of_another_kind_is_refused(corpus: Corpus) -> None:
    done = corpus.enclave("/bin/hello", options=("--simulate=full",))
    assert (done.status, b"--simulate" in done.stderr) == (2, True)
