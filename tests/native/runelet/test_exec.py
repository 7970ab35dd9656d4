"""``runelet exec``: who may ask for a command, and what goes through the channel (native/runelet/channel.h).

A container is a mount namespace of its own here; network and PIDs are the host's, as a pod may have them.
"""

from __future__ import annotations

import array
import os
import random
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import need, need_root
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Start = "Callable[..., subprocess.Popen[bytes]]"
HELLO = struct.Struct("<I16s")
CALL = struct.Struct("<II16sIIII")
NOTICE = struct.Struct("<II512s")
NAME = "enclavize-exec-"
VERSION, COMMAND, REFUSAL = 2, 1, 3


@pytest.fixture
def container(runelet: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A runelet whose application waits for a signal."""
    need("unshare", "nsenter")
    need_root()
    command: list[str | Path] = ["unshare", "--mount", runelet, "wait"]
    with subprocess.Popen(
        command, cwd="/", env={}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def _inside(container: subprocess.Popen[bytes], *command: str | Path) -> list[str | Path]:
    return ["nsenter", "--mount", f"--target={container.pid}", *command]


def _exec(
    container: subprocess.Popen[bytes], runelet: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    command = _inside(container, runelet, "exec", *words)
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)


def test_arguments_environment_and_the_exit_code(container: subprocess.Popen[bytes], runelet: Path) -> None:
    done = _exec(container, runelet, "--", "show", "a b", "", "--", A="1", ENCLAVIZE_LOG_LEVEL="loud")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("arg")] == [
        "argument show", "argument a b", "argument ", "argument --",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("env")] == ["environment A=1"]
    assert _exec(container, runelet, "--", "exit", "255").returncode == 255
    assert _exec(container, runelet, "--health").returncode == 42
    done = _exec(container, runelet, "--")
    assert (done.returncode, done.stderr) == (126, b"enclavize: error: exec: a command is missing\n")
    done = _exec(container, runelet, "--", "show", *["x" * 0x18000] * 3)
    assert (done.returncode, b"longer than" in done.stderr) == (126, True)


def test_reports_of_the_enclave(container: subprocess.Popen[bytes], runelet: Path) -> None:
    for target, report, error in (
        (b"T" * 512, b"T" * 32 + b"R" * 400, b""),
        (b"X" * 512, b"", b"this PAL has no reports"),
        (b"S" * 512, b"", b"a report of another size than 432 bytes"),
        (b"T" * 511, b"", b"standard input is not a TARGETINFO, which has 512 bytes"),
        (b"T" * 513, b"", b"standard input is not a TARGETINFO, which has 512 bytes"),
    ):
        done = subprocess.run(
            _inside(container, runelet, "exec", "--report"),
            input=target, env={}, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        expected = b"enclavize: error: exec: " + error + b"\n" if error else b""
        assert (done.returncode, done.stdout) == (126 if error else 0, report)
        assert done.stderr.endswith(expected.replace(b"exec: a report", b"exec: the PAL has given a report"))


def test_signals_are_passed_on_and_those_of_a_terminal_are_marked(
    container: subprocess.Popen[bytes], runelet: Path
) -> None:
    import fcntl
    import pty
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        command = _inside(container, runelet, "exec", "--", "wait")
        os.execvp("nsenter", [str(word) for word in command])
    try:
        _read_until(terminal, b"ready")
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        _read_until(terminal, b"signal 28 of the terminal")
        os.kill(pid, signal.SIGWINCH)
        _read_until(terminal, b"signal 28\r\n")
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGTERM
    finally:
        os.close(terminal)


def test_the_end_of_the_client_is_that_of_the_command(
    container: subprocess.Popen[bytes], runelet: Path
) -> None:
    before = _threads(container)
    command = _inside(container, runelet, "exec", "--", "wait")
    with subprocess.Popen(command, env={}, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        assert _threads(container) == before + 2
        client.kill()
        # The stub ends at SIGKILL like at any signal, and closes its copy of the pipe.
        assert client.stdout.read() == b""
    _wait_until(lambda: _threads(container) == before)


def test_the_end_of_the_runelet_is_that_of_its_clients(
    container: subprocess.Popen[bytes], runelet: Path
) -> None:
    command = _inside(container, runelet, "exec", "--", "wait")
    with subprocess.Popen(command, env={}, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        container.kill()
        assert client.wait(120) == 128 + signal.SIGKILL


def test_another_container_is_not_heard(container: subprocess.Popen[bytes], runelet: Path) -> None:
    """It has the same network, thus names of sockets, and process numbers; it may even know the name."""
    done = subprocess.run(
        ["unshare", "--mount", runelet, "exec", "--", "show"], env={}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (126, b"")
    assert b"no runelet of this container answers" in done.stderr
    with _connection(container) as connection:
        kind, code, text = _notice(connection)
        assert (kind, code) == (REFUSAL, 126)
        assert text.startswith("only a process of the same container")
        assert connection.recv(1000) == b""


def test_another_user_is_not_heard(container: subprocess.Popen[bytes], runelet: Path) -> None:
    need("setpriv")
    for folder in runelet.parents:
        if folder.owner() == "root" and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    who = ("setpriv", "--reuid=65534", "--clear-groups", runelet, "exec", "--", "show")
    done = subprocess.run(_inside(container, *who), env={}, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (126, b"")
    assert b"--user" in done.stderr


def test_nobody_is_taken_in_by_a_false_runelet(container: subprocess.Popen[bytes], runelet: Path) -> None:
    """In another container of the same network: as many names as it likes, and a lower number."""
    prefix = _name(container).rpartition("-")[0]
    false = []
    for index in range(20):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(f"\0{prefix}-{index:016x}")
        listener.listen(0 if index % 2 else 10)
        false.append(listener)
    done = _exec(container, runelet, "--", "exit", "7")
    assert done.returncode == 7, done.stderr
    for listener in false:
        listener.close()


def test_a_place_that_is_not_the_containers_is_refused(
    container: subprocess.Popen[bytes], runelet: Path
) -> None:
    command = _inside(container, "sh", "-c", f"cd /tmp && exec {runelet} exec -- show")
    done = subprocess.run(command, env={}, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (126, b"")
    assert b"it cannot begin in /tmp" in done.stderr


@pytest.fixture
def own(runelet: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A runelet in this process's own container."""
    with subprocess.Popen([runelet, "wait"], env={}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def _call(nonce: bytes, **changed: int) -> bytes:
    fields = {
        "version": VERSION, "kind": COMMAND, "arguments": 2, "environment": 0, "size": 0, "streams": 0b111,
    } | changed  # fmt: skip
    return CALL.pack(fields.pop("version"), fields.pop("kind"), nonce, *fields.values())


def test_malformed_calls_start_nothing_and_end_nothing(own: subprocess.Popen[bytes]) -> None:
    generator = random.Random(5)
    directory = os.fsencode(Path.cwd())
    good = b"exit\x003\0" + directory + b"\0"
    before = (_threads(own), _descriptors(own))
    for _ in range(scaled(2000)):
        strings = bytearray(good)
        changed = {}
        match generator.randrange(7):
            case 0:
                strings[generator.randrange(len(strings))] = generator.randrange(256)
            case 1:
                changed["size"] = generator.choice([0, 1, len(good) - 1, len(good) + 1, 0x40000, 0xFFFFFFFF])
            case 2:
                changed["arguments"] = generator.choice([3, 4, 0x40000, 0xFFFFFFFF])
            case 3:
                changed["environment"] = generator.choice([1, 0x10000, 0xFFFFFFFF])
            case 4:
                changed["version"] = generator.choice([0, 1, 3])
            case 5:
                changed["kind"] = generator.choice([0, 2, 3, 0xFFFFFFFF])
            case _:
                changed["streams"] = generator.choice([0, 1, 0xFFFFFFFF])
        _try(own, bytes(strings), changed, generator)
    _wait_until(lambda: (_threads(own), _descriptors(own)) == before)
    code = _try(own, good, {}, None)
    assert code == 3


def _try(
    own: subprocess.Popen[bytes], strings: bytes, changed: dict[str, int], generator: random.Random | None
) -> int | None:
    """Make one call; return the exit code. With a generator, more of it may be wrong."""
    changed.setdefault("size", len(strings))
    with _connection(own) as connection, open(os.memfd_create("call"), "w+b") as file:  # noqa: PTH123
        file.write(strings)
        file.flush()
        nonce = HELLO.unpack(connection.recv(1000))[1]
        call = _call(nonce, **changed)
        files = [file.fileno(), 0, 1, 2]
        if generator and generator.randrange(4) == 0:
            call = bytes(generator.randrange(256) for _ in range(generator.randrange(60)))
        if generator and generator.randrange(4) == 0:
            files = files[: generator.randrange(4)]
        if generator and generator.randrange(8) == 0:
            return None  # nothing is said at all
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        connection.sendmsg([call], rights)
        answer = connection.recv(1000)
        return NOTICE.unpack(answer)[1] if answer else None


def test_a_nonce_of_another_connection_is_refused(own: subprocess.Popen[bytes]) -> None:
    with _connection(own) as one, _connection(own) as other, open(os.memfd_create("call"), "w+b") as file:  # noqa: PTH123
        file.write(b"exit\x003\0" + os.fsencode(Path.cwd()) + b"\0")
        file.flush()
        _, nonce = HELLO.unpack(one.recv(1000))
        other.recv(1000)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno(), 0, 1, 2]))]
        other.sendmsg([_call(nonce, size=file.tell())], rights)
        assert other.recv(1000) == b""


def _name(process: subprocess.Popen[bytes]) -> str:
    """Return the name of a runelet's socket."""
    inodes = set()
    for path in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            target = str(path.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        inodes |= {target[8:-1]} if target.startswith("socket:[") else set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[6] in inodes and fields[7].startswith(f"@{NAME}"):
            return fields[7][1:]
    pytest.fail("the runelet has no socket")


def _connection(process: subprocess.Popen[bytes]) -> socket.socket:
    name = _name(process)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(20)
    connection.connect(f"\0{name}")
    return connection


def _notice(connection: socket.socket) -> tuple[int, int, str]:
    kind, value, text = NOTICE.unpack(connection.recv(1000))
    return kind, value, text.split(b"\0")[0].decode()


def _threads(process: subprocess.Popen[bytes]) -> int:
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))


def _descriptors(process: subprocess.Popen[bytes]) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def _wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("this took longer than five seconds")


def _read_until(descriptor: int, wanted: bytes) -> None:
    output = b""
    while wanted not in output:
        output += os.read(descriptor, 1000)
