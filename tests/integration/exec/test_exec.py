"""Commands from outside, by way of rune and runc: what goes in, what comes back, what is left."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.commands import ALLOWED, FEW_THREADS, HEALTH, lines
from support.rune import ENTRYPOINT
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.commands import Container, Trees

pytestmark = pytest.mark.integration

AT_ONCE = 100
MANY_TIMES = 2000


def test_arguments_streams_and_the_exit_code(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.open)
    done = container.exec("/probe", "show", "a b", "", "--", "-x")
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout, "argument") == ["a b", "", "--", "-x"]
    assert lines(done.stdout, "directory") == ["/work"]
    assert lines(done.stdout, "user") == ["0:0"]
    assert lines(done.stdout, "parent") == ["0"]
    assert lines(done.stdout, "leads") == ["1 1"]
    for code in (0, 1, 125, 255):
        assert container.exec("/probe", "exit", str(code)).returncode == code
    data = os.urandom(1_000_000)
    assert container.exec("/probe", "cat", stdin=data).stdout == data
    done = container.exec("probe", "both")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_what_is_not_there_is_127(run: Callable[..., Container], trees: Trees) -> None:
    done = run(trees.open).exec("nothing")
    assert (done.returncode, done.stderr) == (127, b"enclave: nothing: no such file or directory\n")


def test_the_policy_is_exact(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.strict)
    assert lines(container.exec(*ALLOWED).stdout, "argument") == list(ALLOWED[2:])
    assert container.exec(*HEALTH).returncode == 3
    assert container.exec(ENTRYPOINT, "exec", "--health").returncode == 3
    for words in (
        ("/probe",),
        ALLOWED[:-1],
        (*ALLOWED, ""),
        ("probe", *ALLOWED[1:]),
        ("/./probe", *ALLOWED[1:]),
        ("/probe", "show", "a b", ""),
        ("/probe", "show", "a", "b", ""),
        ("/probe", "exit", "0"),
        ("/probe", "hold"),
        (ENTRYPOINT, "show"),
    ):
        done = container.exec(*words)
        assert (done.returncode, done.stdout) == (126, b""), words
        assert b"the measured policy does not allow this command (build with --allow-exec)" in done.stderr


def test_without_a_word_nothing_may_run(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.closed)
    for words in (("/probe", "exit", "0"), ("/probe", "hold"), ("",)):
        assert container.exec(*words).returncode == 126
    done = container.exec(ENTRYPOINT, "exec", "--health")
    assert (done.returncode, done.stderr) == (126, b"enclave: health check: the image has none\n")


def test_files_are_copied_as_kubectl_cp_does(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.open)
    archive, content = io.BytesIO(), os.urandom(300_000)
    with tarfile.open(fileobj=archive, mode="w") as given:
        member = tarfile.TarInfo("folder/file")
        member.size, member.mode = len(content), 0o640
        given.addfile(member, io.BytesIO(content))
    done = container.exec("tar", "-xmf", "-", "-C", "/work", stdin=archive.getvalue())
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    done = container.exec("tar", "cf", "-", "/work/folder")
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as taken:
        assert [(one.name, one.mode) for one in taken if one.isfile()] == [("work/folder/file", 0o640)]
        file = taken.extractfile("work/folder/file")
        assert file is not None
        assert file.read() == content
    assert run(trees.strict).exec("tar", "cf", "-", "/work").returncode == 126


def test_nothing_that_comes_along_widens_the_policy(run: Callable[..., Container], trees: Trees) -> None:
    """Neither options of the engine, nor what the streams are, nor a terminal."""
    container = run(trees.strict)
    refused = ("/probe", "exit", "0")
    for options in (
        ("--env=ENCLAVIZE_ALLOW_EXEC=1", "--env=B=1", "--env=PATH=/"),
        ("--cwd=/",),
        ("--user=0",),
        ("--cap=CAP_SYS_ADMIN",),
        ("--no-new-privs",),
        ("--ignore-paused",),
    ):
        for words in (refused, (*ALLOWED, "more")):
            done = container.exec(*options, *words)
            assert (done.returncode, done.stdout) == (126, b""), (options, words)
    with tempfile.TemporaryFile() as file:
        file.write(b"/probe exit 0\n")
        for stream in (file, subprocess.DEVNULL):
            streams: dict[str, Any] = {"stdin": stream, "stdout": stream, "stderr": subprocess.PIPE}
            file.seek(0)
            done = subprocess.run(container.command(*refused), check=False, timeout=60, **streams)
            assert done.returncode == 126
            assert b"does not allow this command" in done.stderr
    opened, terminal = pty.openpty()
    with subprocess.Popen(
        container.command("--tty", *refused), stdin=terminal, stdout=terminal, stderr=terminal
    ) as command:
        assert command.wait(60) == 126
    os.close(terminal)
    os.close(opened)


def test_the_environment_is_as_measured(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.strict)
    given = (
        "--env=A=other",
        "--env=B=allowed",
        "--env=C=x",
        "--env=LD_PRELOAD=/x",
        "--env=ENCLAVIZE_ROOT=/x",
    )
    shown = lines(container.exec(*given, *ALLOWED).stdout, "environment")
    assert sorted(shown) == ["A=measured", "B=allowed", "HOME=/", "PATH=/"]


@pytest.mark.parametrize("option", ["--cwd=/", "--cwd=/data", "--user=65534", "--user=0:1"])
def test_a_place_that_cannot_be_given_is_refused(
    run: Callable[..., Container], trees: Trees, option: str
) -> None:
    done = run(trees.open).exec(option, "/probe", "show")
    assert (done.returncode, done.stdout) == (126, b"")
    assert b"image's" in done.stderr


def test_signals_that_the_enclave_takes_reach_the_command(
    run: Callable[..., Container], trees: Trees
) -> None:
    container = run(trees.open)
    with container.start("/probe", "signals") as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"ready\n"
        client = container.client()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH):
            os.kill(client, number)
            assert command.stdout.readline() == b"signal %d\n" % number
        os.kill(client, signal.SIGALRM)  # is none of those that are let in
        os.kill(client, signal.SIGUSR2)
        assert command.stdout.read() == b""
        assert command.wait(120) == 0
    with container.start("/probe", "sleep", "1000") as command:
        _wait_for(container.clients)
        os.kill(container.client(), signal.SIGTERM)
        assert command.wait(120) == 128 + signal.SIGTERM
    assert container.exec("/probe", "exit", "0").returncode == 0


def test_a_command_dies_with_its_client(run: Callable[..., Container], trees: Trees) -> None:
    """All that it has started, too."""
    container = run(trees.open)
    container.exec("/probe", "exit", "0")
    threads, descriptors = container.threads(), container.descriptors()
    with container.start("/probe", "family") as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"ready\n"
        assert container.threads() >= threads + 3
        os.kill(container.client(), signal.SIGKILL)
        assert command.wait(120) == 128 + signal.SIGKILL
    container.settled(container.descriptors, descriptors)
    # Threads that have left the enclave may wait a while for the next ones, a few of them for ever.
    container.settled(container.threads, threads + 3)
    assert container.exec("/probe", "exit", "7").returncode == 7


def test_what_a_command_leaves_behind_goes_on(run: Callable[..., Container], trees: Trees) -> None:
    """Until its end its output is open, as with any container."""
    done = run(trees.open).exec("/probe", "leave")
    assert (done.returncode, done.stdout) == (0, b"late\n")


def test_a_hundred_at_once(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.open)
    container.exec("/probe", "exit", "0")
    descriptors = container.descriptors()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        data = [os.urandom(10_000) for _ in range(AT_ONCE)]
        done = list(pool.map(lambda given: container.exec("/probe", "cat", stdin=given), data))
    assert [one.returncode for one in done] == [0] * AT_ONCE
    assert [one.stdout for one in done] == data
    container.settled(container.descriptors, descriptors)


def test_more_than_there_are_threads_are_told_so(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.few)
    commands = [container.start("/probe", "sleep", "1000") for _ in range(FEW_THREADS + 3)]
    _wait_for(lambda: sum(command.poll() is not None for command in commands) >= 4)
    refused = [command for command in commands if command.poll() is not None]
    for command in refused:
        assert command.returncode == 126
        assert command.stderr is not None
        assert b"see --set threads" in command.stderr.read()
    for client in container.clients():
        os.kill(client, signal.SIGKILL)
    for command in commands:
        command.communicate()
    assert len(refused) == 4
    assert container.exec("/probe", "exit", "7").returncode == 7


def test_nothing_grows(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.open)
    for _ in range(20):
        container.exec("/probe", "exit", "0")
    memory, descriptors = container.memory(), container.descriptors()
    for _ in range(scaled(MANY_TIMES, least=50)):
        assert container.exec("/probe", "exit", "0").returncode == 0
    container.settled(container.descriptors, descriptors)
    assert container.memory() < memory + 2_000_000


def test_the_end_of_the_container_is_that_of_its_commands(
    run: Callable[..., Container], trees: Trees
) -> None:
    container = run(trees.open)
    commands = [container.start("/probe", "sleep", "1000") for _ in range(5)]
    _wait_for(lambda: len(container.clients()) == 5)
    os.kill(container.pid, signal.SIGTERM)
    assert [command.wait(120) for command in commands] == [128 + signal.SIGKILL] * 5
    for command in commands:
        command.communicate()


def test_while_the_container_ends_a_command_is_run_or_refused(
    run: Callable[..., Container], trees: Trees
) -> None:
    """At each moment of the end: no command hangs, none is told what has not happened."""
    container = run(trees.open)
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(container.exec, "/probe", "exit", "7") for _ in range(24)]
        time.sleep(0.1)
        os.kill(container.pid, signal.SIGTERM)
        done = [one.result().returncode for one in running]
    assert set(done) <= {7, 126, 128 + signal.SIGKILL, 1, 255}, done


def test_the_runelet_killed_from_outside_ends_everything(run: Callable[..., Container], trees: Trees) -> None:
    container = run(trees.open)
    with container.start("/probe", "sleep", "1000") as command:
        _wait_for(container.clients)
        os.kill(container.pid, signal.SIGKILL)
        assert command.wait(120) == 128 + signal.SIGKILL
    assert (
        not Path(f"/proc/{container.pid}/cmdline").exists()
        or not Path(f"/proc/{container.pid}/cmdline").read_bytes()
    )


def _wait_for(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("this took longer than ten seconds")
