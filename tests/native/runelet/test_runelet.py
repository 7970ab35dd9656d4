"""The runelet, with a PAL that has no enclave (stub_pal.c)."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.tee.layout import ENTRYPOINT
from support.programs import need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator


def _run(runelet: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [runelet, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=20
    )


def _shown(done: subprocess.CompletedProcess[str], kind: str) -> list[str]:
    return [line.partition(" ")[2] for line in done.stdout.splitlines() if line.startswith(f"{kind} ")]


def test_options_become_words_for_the_pal(runelet: Path) -> None:
    done = _run(
        runelet,
        "show",
        ENCLAVIZE_SIMULATE="1",
        ENCLAVIZE_LOG_LEVEL="trace",
        ENCLAVIZE_ENCLU="trap",
        ENCLAVIZE_SYSCALL_TRAP="seccomp",
        ENCLAVIZE_INSTANCE="/i",
        ENCLAVIZE_ROOT="/r",
    )
    assert _shown(done, "words") == ["instance=/i root=/r mode=sim enclu=trap syscall-trap=seccomp"]
    assert _shown(done, "level") == ["trace"]


def test_simulation_may_look_at_each_instruction(runelet: Path) -> None:
    done = _run(runelet, "show", ENCLAVIZE_SIMULATE="1", ENCLAVIZE_ENCLU="step")
    assert _shown(done, "words")[0].endswith(" mode=sim enclu=step")


def test_wishes_to_see_what_the_program_does_become_words(runelet: Path) -> None:
    done = _run(runelet, "show", ENCLAVIZE_TRACE="1", ENCLAVIZE_PROFILE="json", ENCLAVIZE_REPORT_FD="3")
    assert _shown(done, "words")[0].endswith(" trace profile=json report-fd=3")
    assert not _shown(_run(runelet, "show", ENCLAVIZE_TRACE="0"), "words")[0].endswith("trace")
    assert _run(runelet, "show", ENCLAVIZE_PROFILE="xml").returncode == 125


def test_without_options_simulation_is_not_asked_for(runelet: Path) -> None:
    done = _run(runelet, "show")
    assert _shown(done, "words") == ["instance=/.enclave/instance root=/"]
    assert _shown(_run(runelet, "show", ENCLAVIZE_SIMULATE="0"), "words") == _shown(done, "words")


def test_arguments_and_environment_are_the_applications(runelet: Path) -> None:
    done = _run(
        runelet, "show", "--simulate", "two words", A="b=c", ENCLAVIZE_NEW="1", ENCLAVIZE_ROOT="/", B=""
    )
    assert _shown(done, "argument") == ["show", "--simulate", "two words"]
    assert sorted(_shown(done, "environment")) == ["A=b=c", "B="]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIMULATE", "yes"),
        ("LOG_LEVEL", "loud"),
        ("ENCLU", "none"),
        ("SYSCALL_TRAP", "x"),
        ("INSTANCE", "relative"),
        ("ROOT", "/a b"),
        ("ROOT", "/" + "a" * 5000),
    ],
)
def test_a_malformed_option_is_one_line_and_125(runelet: Path, name: str, value: str) -> None:
    done = subprocess.run(
        [runelet, "show"], env={f"ENCLAVIZE_{name}": value}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 125
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"enclavize: error: ENCLAVIZE_{name}: ")


@pytest.mark.parametrize("code", [0, 1, 7, 125, 255])
def test_the_exit_code_is_the_applications(runelet: Path, code: int) -> None:
    assert _run(runelet, "exit", str(code)).returncode == code


def test_a_refused_enclave_is_one_line_with_the_reason(runelet: Path) -> None:
    done = _run(runelet, ENCLAVIZE_INSTANCE="/refused")
    assert done.returncode == 125
    assert "enclavize: error: enclave.signed.so: refused\n" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("exec",), ("exec", "--health", "x"), ("exec", "sh"), ("show", "exec", "--")]
)
def test_only_the_exact_form_is_exec(runelet: Path, arguments: tuple[str, ...]) -> None:
    assert _run(runelet, *arguments).returncode == 0


@pytest.fixture
def waiting(runelet: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([runelet, "wait"], env={}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT, 37]
)
def test_signals_are_passed_on(waiting: subprocess.Popen[str], number: int) -> None:
    waiting.send_signal(number)
    assert waiting.wait(120) == 128 + number


def test_other_signals_do_not_end_the_runelet(waiting: subprocess.Popen[str]) -> None:
    assert waiting.stdout is not None
    waiting.send_signal(signal.SIGWINCH)
    assert waiting.stdout.readline() == f"signal {signal.SIGWINCH.value}\n"
    waiting.send_signal(signal.SIGPIPE)
    waiting.send_signal(signal.SIGURG)
    waiting.send_signal(signal.SIGCHLD)
    waiting.send_signal(signal.SIGCONT)
    assert waiting.stdout.readline() == f"signal {signal.SIGCONT.value}\n"


def test_a_signal_before_the_application_runs_ends_the_start(runelet: Path) -> None:
    with subprocess.Popen([runelet, "wait"], env={"ENCLAVIZE_INSTANCE": "/slow"}) as process:
        _wait_until(lambda: _threads(process.pid) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143


def test_a_resize_of_the_terminal_reaches_the_application(runelet: Path) -> None:
    import fcntl
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(runelet, [str(runelet), "wait"], {})
    try:
        output = _read_until(terminal, b"ready")
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        output = _read_until(terminal, b"signal %d" % signal.SIGWINCH)
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT, output
    finally:
        os.close(terminal)


def test_as_pid_1_signals_end_the_program_and_orphans_are_reaped(runelet: Path) -> None:
    """In a PID namespace of its own; the orphan is a grandchild that a shell leaves behind."""
    need("unshare", "setsid")
    need_root()
    script = f"(sleep 0.3 & exec true) & exec {runelet} wait"
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (pid_1,) = _children(process.pid)
        _wait_until(lambda: not _children(pid_1))
        os.kill(pid_1, signal.SIGTERM)
        assert process.wait(120) == 143


def test_mounts_that_the_enclave_does_not_see_are_named_once(runelet: Path, tmp_path: Path) -> None:
    need("unshare")
    need_root()
    root = tmp_path / "root"
    folders = ["data", "with space", "proc", "etc", "run/secrets", "dev/shm", ".enclave/bin", "volume/below"]
    folders += ["var/tmp", "var/run/secrets/kubernetes.io/serviceaccount", "sbin/docker-init"]
    for folder in folders:
        (root / folder).mkdir(parents=True)
    (root / "etc" / "hosts").touch()
    script = " && ".join(
        f"mount --bind '{root}/{path}' '{root}/{path}'" for path in [*folders[:3], *folders[4:], "etc/hosts"]
    )
    instance = tmp_path / "instance"
    instance.mkdir()
    (instance / "enclave.signed.so").write_bytes(
        bytes(8192) + _configuration("/vol", "/volume") + bytes(4096)
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{script} && exec {runelet} exit 0"],
        env={**os.environ, "ENCLAVIZE_ROOT": str(root), "ENCLAVIZE_INSTANCE": str(instance)},
        cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert line.startswith("enclavize: warning: mounts that the enclave does not see: ")
    assert line.partition("see: ")[2].partition(";")[0].split(", ") == [
        "/data",
        "/with space",
        "/run/secrets",
    ]


def test_a_damaged_configuration_does_no_harm(runelet: Path, tmp_path: Path) -> None:
    configuration = bytearray(_configuration("/volume"))
    configuration[12:16] = struct.pack("<I", 0xFFFFFFFF)
    (tmp_path / "enclave.signed.so").write_bytes(bytes(configuration))
    assert _run(runelet, "exit", "3", ENCLAVIZE_INSTANCE=str(tmp_path)).returncode == 3
    configuration = bytearray(_configuration("/volume"))
    configuration[20:24] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "enclave.signed.so").write_bytes(bytes(configuration))
    assert _run(runelet, "exit", "3", ENCLAVIZE_INSTANCE=str(tmp_path)).returncode == 3


def test_what_the_enclave_does_not_use_is_said_in_a_line(runelet: Path, tmp_path: Path) -> None:
    """As uid 1000, in /tmp; the measured ones are uid 7 and /work."""
    need_root()
    records = _record(5, struct.pack("<II", 7, 7)) + _record(4, b"/work") + _record(8, b"TAKEN")
    (tmp_path / "enclave.signed.so").write_bytes(_with_head(records + _record(3, b"PATH=/bin")))
    tmp_path.chmod(0o755)

    def said(folder: str, uid: int, level: str = "warning") -> list[str]:
        environment = {
            "ENCLAVIZE_INSTANCE": f"/proc/self/fd/{directory}", "ENCLAVIZE_LOG_LEVEL": level,
            "ENCLAVIZE_ROOT": str(tmp_path), "PATH": "/bin", "TAKEN": "1", "HOSTNAME": "x", "OTHER": "y",
        }  # fmt: skip
        return subprocess.run(
            [f"/proc/self/fd/{program}", "exit", "0"], env=environment, cwd=folder, user=uid, group=0,
            pass_fds=(directory, program), capture_output=True, text=True, check=True,
        ).stderr.splitlines()  # fmt: skip

    directory = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    program = os.open(runelet, os.O_RDONLY)
    try:
        (line,) = said("/tmp", 1000)
        assert line.startswith("enclavize: warning: of this container the enclave does not use: user 1000, ")
        assert line.endswith(", working directory /tmp; a build decides that")
        assert "does not use: user 1000; a build" in said("/", 1000)[0]
        assert "does not use: working directory /tmp; a build" in said("/tmp", 7)[0]
        assert said("/", 0) == said("/", 7) == []
        (line,) = said("/", 0, "info")
        assert line.startswith("enclavize: info: of this container the enclave does not use: host name ")
        assert ", variables HOSTNAME OTHER; --allow-env of a build lets variables in" in line
    finally:
        os.close(directory)
        os.close(program)


def test_the_entrypoint_is_the_runelet() -> None:
    assert ENTRYPOINT == "/.enclave/bin/runelet"


def _configuration(*volumes: str) -> bytes:
    """docs/tee-image.md, section 4; VOLUME is type 11."""
    return _with_head(b"".join(_record(11, volume.encode()) for volume in volumes))


def _record(kind: int, value: bytes) -> bytes:
    return struct.pack("<HHI", kind, 0, len(value)) + value + bytes(-len(value) % 8)


def _with_head(records: bytes) -> bytes:
    return b"ENCLVCFG" + struct.pack("<II", 1, 16 + len(records)) + records


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait_until(condition: object) -> None:
    assert callable(condition)
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("this took longer than five seconds")


def _read_until(descriptor: int, wanted: bytes) -> bytes:
    output = b""
    while wanted not in output:
        output += os.read(descriptor, 1000)
    return output
