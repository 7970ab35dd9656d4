"""The runelet for PALs of others: a PAL of each version of the API; PALs that crash, hang, lie and quit."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from support.foreign_pal import PalFolder, trial_pal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KNOWN = [1, 2, 3]
WAIT = ("--exit-status=wait", "--signal=15", "--signal=9")
REPORT_SIZE = 432


@pytest.fixture(scope="session")
def pals(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile each PAL once."""
    folder = tmp_path_factory.mktemp("pals")

    def make(version: int, *options: str) -> Path:
        output = folder / f"{version}{''.join(options)}.so"
        return output if output.exists() else trial_pal(output, version, *options)

    return make


@pytest.fixture
def pal(tmp_path: Path, pals: Callable[..., Path]) -> Callable[..., PalFolder]:
    return lambda version, *options: PalFolder(tmp_path / "rune", pals(version, *options))


@pytest.mark.parametrize("version", KNOWN)
def test_every_version_runs_a_program(pal: Callable[..., PalFolder], version: int) -> None:
    folder = pal(version)
    done = folder.run("/bin/program", "exit", "7", args="occlum_instance", A="b c", PATH="/bin")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (7, "")
    assert lines[0] == "init occlum_instance level info"
    assert lines[-1] == "destroy"
    assert [line for line in lines if line.startswith(("path", "argument"))] == [
        "path /bin/program", "argument /bin/program", "argument exit", "argument 7",
    ]  # fmt: skip
    environment = [line for line in lines if line.startswith("environment")]
    assert environment == ([] if version == 1 else ["environment A=b c", "environment PATH=/bin"])
    assert ("device -1 address 0" in lines) == (version == 3)
    assert ("streams 0 1 2" in lines) == ("exec 4711" in lines) == (version > 1)
    assert folder.status == "running\n"


def test_a_version_that_is_told_as_one_is_one(pal: Callable[..., PalFolder]) -> None:
    assert pal(1, "-DTOLD_VERSION=1").run("program", "exit", "3").returncode == 3


@pytest.mark.parametrize("version", [4, -1, 0])
def test_another_version_is_refused(pal: Callable[..., PalFolder], version: int) -> None:
    folder = pal(3, f"-DTOLD_VERSION={version}")
    done = folder.run("program")
    reason = f"the PAL says that it has version {version} of the PAL API; this runelet knows 1 to 3"
    assert (done.returncode, done.stdout, done.stderr) == (125, "", f"enclavize: error: {reason}\n")
    assert folder.status == f"failed {reason}\n"


def test_a_missing_function_is_named(pal: Callable[..., PalFolder]) -> None:
    done = pal(3, "-DNO_REPORT").run("program")
    assert done.returncode == 125
    assert "version 3 of the PAL API, and no pal_get_local_report" in done.stderr


def test_what_is_no_library_is_told(pal: Callable[..., PalFolder]) -> None:
    folder = pal(2)
    (folder.folder / "liberpal-trial.so").write_text("no library")
    done = folder.run("program")
    assert done.returncode == 125
    assert "the PAL cannot be loaded" in done.stderr
    assert "the PAL cannot be loaded" in folder.status


def test_words_stay_words(pal: Callable[..., PalFolder]) -> None:
    done = pal(2).run(
        "program", "two  words", "", "--args=x", A="b\nc", ENCLAVIZE_X="1", ENCLAVIZE_ENV_LD_AUDIT="x"
    )
    assert "argument two  words\nargument \nargument --args=x\n" in done.stdout
    shown = [line for line in done.stdout.splitlines() if line.startswith("environment")]
    assert sorted(shown) == ["environment A=b", "environment LD_AUDIT=x"]


@pytest.mark.parametrize(
    ("form", "value", "code"),
    [
        ("code", 0, 0), ("code", 255, 255), ("code", 137, 137), ("code", 256, 125), ("code", -1, 125),
        ("code", 0x700, 125),
        ("wait", 0, 0), ("wait", 0x700, 7), ("wait", 0xFF00, 255), ("wait", 9, 137), ("wait", 0x8B, 139),
        ("wait", 0x137F, 125), ("wait", 0xFFFF, 125), ("wait", 0x10000, 125), ("wait", -1, 125),
    ],
)  # fmt: skip
def test_exit_values_are_what_the_list_declares(
    pal: Callable[..., PalFolder], form: str, value: int, code: int
) -> None:
    done = pal(2).run("program", "value", str(value), options=(f"--exit-status={form}",))
    assert done.returncode == code
    assert ("the PAL says that the program has ended" in done.stderr) == (code == 125)
    assert done.stdout.endswith("destroy\n")


@pytest.mark.parametrize("version", KNOWN)
def test_an_end_that_nobody_told_is_no_success(pal: Callable[..., PalFolder], version: int) -> None:
    done = pal(version).run("program", "untold")
    assert done.returncode == 125
    assert "does not say how the program has ended" in done.stderr


def test_a_process_that_nobody_named_is_none(pal: Callable[..., PalFolder]) -> None:
    done = pal(2).run("program", "exit", "0", args="untold=pid")
    assert done.returncode == 125
    assert "has made a process, and not which" in done.stderr
    assert "exec" not in done.stdout
    assert done.stdout.endswith("destroy\n")


@pytest.mark.parametrize("call", ["init", "create", "exec"])
@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (-2, "-2 (No such file or directory)"),
        (-1, "-1 (errno: File exists)"),
        (1, "has returned 1, which means nothing"),
    ],
)
def test_failures_have_their_reason(
    pal: Callable[..., PalFolder], call: str, result: int, reason: str
) -> None:
    folder = pal(3)
    done = folder.run("program", "exit", "0", args=f"result={call}:{result}")
    name = "pal_create_process" if call == "create" else f"pal_{call}"
    assert done.returncode == 125
    assert name in done.stderr
    assert reason in done.stderr
    assert (folder.status == "running\n") == (call == "exec")
    assert done.stdout.endswith("destroy\n") == (call != "init")


@pytest.mark.parametrize("call", ["init", "create", "exec", "destroy"])
@pytest.mark.parametrize(
    ("word", "code", "shown"),
    [("crash", 139, "crashed"), ("abort", 134, "crashed"), ("quit", 125, "ended the process")],
)
def test_it_is_told_in_which_call_a_pal_ends_everything(
    pal: Callable[..., PalFolder], call: str, word: str, code: int, shown: str
) -> None:
    folder = pal(2)
    done = folder.run("program", "exit", "0", args=f"{word}={call}:0")
    name = "pal_create_process" if call == "create" else f"pal_{call}"
    assert done.returncode == code
    assert f"the PAL has {shown} in {name}" in done.stderr
    assert (folder.status == "running\n") == (call in ("exec", "destroy"))


def test_a_constructor_that_ends_the_process_is_told(pal: Callable[..., PalFolder]) -> None:
    done = pal(2, "-DCRASHING_CONSTRUCTOR").run("program")
    assert done.returncode == 125
    assert "ended the process in a constructor" in done.stderr


def test_a_pal_that_does_not_let_go_is_left(pal: Callable[..., PalFolder]) -> None:
    started = time.monotonic()
    assert pal(2).run("program", "exit", "5", args="hang=destroy").returncode == 5
    assert time.monotonic() - started < 50


def test_a_library_from_elsewhere_is_refused(
    pal: Callable[..., PalFolder], pals: Callable[..., Path]
) -> None:
    folder = pal(2)
    done = folder.run("program", "exit", "0", args="load=init", TRIAL_LIBRARY=str(pals(3)))
    assert done.returncode == 125
    assert f"has loaded {pals(3)}, which is not among the libraries" in done.stderr
    assert "exec" not in done.stdout
    assert done.stdout.endswith("destroy\n")


def _started(folder: PalFolder, *options: str, args: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        folder.command("program", "signal", args=args, options=options),
        env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line == "argument signal\n":
            return process
    raise AssertionError(process.communicate())


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes = []

    def begin(folder: PalFolder, *options: str, args: str = "") -> subprocess.Popen[str]:
        processes.append(_started(folder, *options, args=args))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("sent", "taken"),
    [(signal.SIGTERM, 15), (signal.SIGINT, 15), (signal.SIGHUP, 15), (signal.SIGQUIT, 15)],
)
def test_signals_are_those_of_the_list(
    pal: Callable[..., PalFolder],
    start: Callable[..., subprocess.Popen[str]],
    sent: signal.Signals,
    taken: int,
) -> None:
    process = start(pal(2, "-DWAIT_STATUS"), *WAIT)
    process.send_signal(sent)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (128 + taken, "")
    assert out == f"kill -1 {taken}\ndestroy\n"


def test_a_signal_that_is_listed_comes_as_it_is(
    pal: Callable[..., PalFolder], start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(pal(3), "--signal=15", "--signal=10", "--signal=2")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "kill -1 2\ndestroy\n")


def test_a_pal_that_takes_no_signals_is_ended(
    pal: Callable[..., PalFolder], start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(pal(1), *WAIT)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (143, "destroy\n")


def test_a_refused_signal_is_told(
    pal: Callable[..., PalFolder], start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(pal(2, "-DWAIT_STATUS"), *WAIT, args="result=kill:-22")
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    told = process.stderr.readline()
    assert told == "enclavize: warning: pal_kill of the PAL has not taken signal 15: -22\n"


def test_a_signal_before_the_enclave_runs_ends_it(pal: Callable[..., PalFolder]) -> None:
    folder = pal(2)
    process = subprocess.Popen(
        folder.command("program", args="hang=init"),
        env={},
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("init")
    process.terminate()
    assert process.wait(timeout=120) == 143
    process.stdout.close()


def _ask(folder: PalFolder, request: bytes) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(20)
        client.connect(str(folder.folder / "run" / "pal.sock"))
        client.send(request)
        answer = client.recv(4096)
    return int.from_bytes(answer[:4], "little", signed=True), answer[4:]


@pytest.mark.parametrize(
    ("args", "request_size", "answer"),
    [
        ("", 512, (0, b"T" * 32 + b"R" * 400)),
        ("", 511, (-22, b"a request is a TARGETINFO of 512 bytes")),
        ("", 513, (-22, b"a request is a TARGETINFO of 512 bytes")),
        ("result=report:-12", 512, (-12, b"the PAL gives no report")),
        ("result=report:1", 512, (-5, b"the PAL gives no report")),
        ("size=report:64", 512, (-5, b"the PAL has given a report of another size than 432 bytes")),
        ("size=report:-1", 512, (-5, b"the PAL has given a report of another size than 432 bytes")),
    ],
)
def test_reports(
    pal: Callable[..., PalFolder],
    start: Callable[..., subprocess.Popen[str]],
    args: str,
    request_size: int,
    answer: tuple[int, bytes],
) -> None:
    folder = pal(3)
    start(folder, args=args)
    for _ in range(2):
        assert _ask(folder, b"T" * request_size) == answer


@pytest.mark.parametrize("version", [1, 2])
def test_older_pals_have_no_reports(
    pal: Callable[..., PalFolder], start: Callable[..., subprocess.Popen[str]], version: int
) -> None:
    folder = pal(version)
    start(folder)
    error, answer = _ask(folder, bytes(512))
    assert error == -38
    assert b"before 3" in answer


@pytest.mark.parametrize(
    "options", [["--pal=x"], ["--exit-status=x"], ["--signal=0"], ["--signal=x"], ["--else"]]
)
def test_another_command_line_is_refused(pal: Callable[..., PalFolder], options: list[str]) -> None:
    folder = pal(2)
    command = folder.command("program", options=options)
    if options == ["--pal=x"]:
        command = [item for item in command if not item.startswith("--libraries")]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 125
    assert done.stderr.startswith("enclavize: error: ")
