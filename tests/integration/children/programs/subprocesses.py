"""What Python programs do with children, by ``subprocess``, ``os``, ``asyncio`` and ``pty``.

``subprocesses.py child ASPECT [ARGUMENT]`` is what it starts: it prints one thing of what it has inherited.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pty
import resource
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any

ME = (sys.executable, "-S", "-E", __file__, "child")
AS_FILES = 50
NOBODY = 65534


def child(aspect: str, argument: str = "") -> None:
    """Print one aspect of this process, as its parent made it."""
    match aspect:
        case "ids":
            print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))
        case "session":
            print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())
        case "group":
            print(os.getpgid(0) == int(argument or os.getpid()), os.getsid(0) == os.getpid())
        case "descriptors":
            print(sorted(descriptor for descriptor in range(AS_FILES) if _is_open(descriptor)))
        case "write":
            os.write(int(argument), b"through a passed descriptor\n")
        case "limit":
            print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], oct(os.umask(0)), Path.cwd())
        case "signals":
            ignored = (signal.SIGPIPE, signal.SIGUSR1, signal.SIGINT)
            print([signal.getsignal(number) == signal.SIG_IGN for number in ignored])
        case "environment":
            print(sorted((name, value) for name, value in os.environ.items() if name != "LC_CTYPE"))
        case "both":
            print("out", flush=True)
            print("err", file=sys.stderr, flush=True)
        case _:
            raise ValueError(aspect)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def ask(aspect: str, argument: str = "", **options: Any) -> str:
    """Start a child; return what it says."""
    done = subprocess.run([*ME, aspect, argument], stdout=PIPE, text=True, check=True, **options)
    return str(done.stdout).strip()


def streams() -> None:
    data = bytes(range(256)) * 4096
    done = subprocess.run(["cat"], input=data, stdout=PIPE, check=True)
    print("a megabyte there and back", hashlib.sha256(done.stdout).hexdigest())
    done = subprocess.run([*ME, "both"], capture_output=True, check=True)
    print("two pipes", done.stdout, done.stderr)
    done = subprocess.run([*ME, "both"], stdout=PIPE, stderr=STDOUT, check=True)
    print("one pipe", done.stdout)
    first = subprocess.Popen(["seq", "1", "20000"], stdout=PIPE)
    second = subprocess.Popen(["sort", "-rn"], stdin=first.stdout, stdout=PIPE)
    third = subprocess.Popen(["head", "-2"], stdin=second.stdout, stdout=PIPE)
    for stream in (first.stdout, second.stdout):
        assert stream is not None
        stream.close()
    print(
        "a pipeline",
        third.communicate()[0],
        third.wait(),
        first.wait(),
        second.wait() in {0, -signal.SIGPIPE},
    )
    with tempfile.TemporaryFile() as file:
        subprocess.run("echo to a file; exit 0", shell=True, stdout=file, check=True)
        file.seek(0)
        print(
            "a file",
            file.read(),
            subprocess.run(["wc", "-c"], stdin=DEVNULL, capture_output=True, check=True).stdout,
        )
    with subprocess.Popen(["cat"], stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as echo:
        for line in ("one\n", "two\n"):
            assert echo.stdin is not None
            assert echo.stdout is not None
            echo.stdin.write(line)
            print("line by line", repr(echo.stdout.readline()))


def ends() -> None:
    for command in ("exit 0", "exit 7", "kill -TERM $$", "kill -KILL $$"):
        print(command, subprocess.run(command, shell=True, check=False).returncode)
    print("system", os.system("exit 3"), os.waitstatus_to_exitcode(os.system("exit 4")))
    print("popen", os.popen("echo by popen; exit 5").read(), os.popen("exit 5").close())
    with subprocess.Popen(["sleep", "100"]) as sleeper:
        try:
            sleeper.communicate(timeout=0.05)
        except subprocess.TimeoutExpired as error:
            print("timed out", error.cmd, sleeper.poll())
        sleeper.terminate()
        print("terminated", sleeper.wait(), sleeper.poll())
    try:
        subprocess.run("echo before; exec sleep 100", shell=True, timeout=0.5, stdout=PIPE, check=False)
    except subprocess.TimeoutExpired as error:
        print("run timed out", error.timeout)
    wrongs: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/none", {}),
        ("/etc/passwd", {}),
        ("true", {"cwd": "/none"}),
        ("true", {"cwd": "/etc/passwd"}),
    )
    for wrong, options in wrongs:
        try:
            subprocess.run([wrong], check=True, **options)
        except OSError as error:
            print("refused", type(error).__name__, error.filename)
    try:
        subprocess.run(["true"], preexec_fn=lambda: 1 / 0, check=True)
    except subprocess.SubprocessError as error:
        print("preexec", error)


def inheritance() -> None:
    print("new session", ask("session", start_new_session=True), ask("session"))
    print("process group", ask("group", process_group=0), ask("group", str(os.getpgid(0))))
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    ask("write", str(writer), pass_fds=[writer])
    print("passed", os.read(reader, 100), ask("descriptors") == ask("descriptors", close_fds=True))
    os.dup2(reader, 40)
    print("inherited", "40" in ask("descriptors", close_fds=False), "40" in ask("descriptors"))
    for descriptor in (reader, writer, 40):
        os.close(descriptor)
    print("user", ask("ids", user=NOBODY, group=NOBODY, extra_groups=[1, 2]))
    print("by name", ask("ids", user="nobody", group="nogroup", extra_groups=[]))
    limits = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))  # noqa: E731
    print("limits", ask("limit", preexec_fn=limits, cwd="/usr/lib", umask=0o027))
    os.environ.clear()
    print("environment", ask("environment", env={"A": "b c", "D": ""}), ask("environment"))
    os.environ["PATH"] = "/usr/bin:/bin"
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    print("signals", ask("signals"), ask("signals", restore_signals=False))
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def system_calls() -> None:
    reader, writer = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, writer, 1),
        (os.POSIX_SPAWN_CLOSE, reader),
        (os.POSIX_SPAWN_OPEN, 0, "/etc/passwd", os.O_RDONLY, 0),
    ]
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", "head -c 4; exit 9"],
        os.environ,
        file_actions=actions,
        setpgroup=0,
        setsigdef=[signal.SIGPIPE],
    )
    print("posix_spawn", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.read(reader, 100))
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        os.execvp("echo", ["echo", "executed after fork"])
    seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert seen is not None
    print(
        "waitid",
        seen.si_pid == pid,
        seen.si_status,
        seen.si_code == os.CLD_EXITED,
        os.wait()[0] == pid,
        os.read(reader, 100),
    )
    count: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: count.append(1))
    pids = [os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", f"exit {code}") for code in range(5)]
    print(
        "statuses",
        [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids],
        1 <= len(count) <= len(pids),
    )
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    descriptor = os.pidfd_open(pid := os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "100"))
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    seen = os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
    assert seen is not None
    print("pidfd", seen.si_status, seen.si_pid == pid)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", "[ -t 0 ] && echo a terminal; read line; echo got $line"])
    os.write(terminal, b"typed\n")
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 1000)
        except OSError:
            break
    print("pty", sorted(shown.split()), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        commands = [f"echo {number}; exit {number}" for number in range(24)]
        done = list(
            pool.map(lambda command: subprocess.run(command, shell=True, stdout=PIPE, check=False), commands)
        )
    print("of threads", [int(one.stdout) == one.returncode for one in done].count(True))


async def events() -> None:
    async def one(number: int) -> tuple[bytes, int | None]:
        process = await asyncio.create_subprocess_exec("tr", "a-z", "A-Z", stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate(b"loud %d" % number)
        return output, process.returncode

    print("asyncio", await asyncio.gather(*map(one, range(8))))
    process = await asyncio.create_subprocess_shell("echo started; exec sleep 100", stdout=PIPE)
    assert process.stdout is not None
    print("first line", await process.stdout.readline())
    process.kill()
    try:
        print("killed", await asyncio.wait_for(process.wait(), 60))
    except TimeoutError:
        print("never ended")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        for part in (streams, ends, inheritance, system_calls, threads):
            part()
            sys.stdout.flush()
        asyncio.run(events())
