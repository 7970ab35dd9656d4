"""The same docker commands for an ordinary image under runc and under rune, and for a TEE image under rune.

The first two do the same, in the same words; the third differs where the measured policy says so.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from support.guest import ORDINARY, STRICT, TEE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.engines import Engine

pytestmark = pytest.mark.integration

_ID = re.compile(r"\b[0-9a-f]{12,64}\b|pid=\d+")
_SIMULATION = "SIMULATION"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command wrote, without ids and the line that tells of simulation, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """A runtime and an image. ``name`` is that of a container that a test may make."""

    engine: Engine
    runtime: str
    image: str
    name: str = field(default="subject")

    def docker(self, *arguments: str | Path, stdin: str = "") -> Said:
        """Run a command of docker."""
        done = self.engine.run(*arguments, stdin=stdin)
        out, err = (
            "\n".join(line for line in _ID.sub("ID", text).splitlines() if _SIMULATION not in line)
            for text in (done.stdout, done.stderr)
        )
        return Said(code=done.returncode, out=out, err=err)

    def run(self, options: tuple[str, ...], *arguments: str, stdin: str = "") -> Said:
        """Run a container to its end."""
        return self.docker(
            "run", "--rm", "--network", "none", "--runtime", self.runtime, *options, self.image, *arguments,
            stdin=stdin,
        )  # fmt: skip

    def start(self, *arguments: str, options: tuple[str, ...] = ()) -> None:
        """Start a container and wait until it says so."""
        done = self.docker(
            "run", "-d", "--network", "none", "--name", self.name, "--runtime", self.runtime, *options,
            self.image, *arguments,
        )  # fmt: skip
        assert done.code == 0, done.err
        self.wait_for_log("ready")

    def wait_for_log(self, text: str, times: int = 1) -> None:
        for _ in range(400):
            if self.docker("logs", self.name).out.count(text) >= times:
                return
            time.sleep(0.05)
        pytest.fail("this took longer than twenty seconds")

    def inspect(self, form: str) -> str:
        return self.docker("inspect", "-f", form, self.name).out.strip()


@pytest.fixture
def columns(docker: Engine) -> Iterator[tuple[Column, Column, Column]]:
    found = (("runc", ORDINARY), ("rune", ORDINARY), ("rune", TEE))
    yield tuple(Column(engine=docker, runtime=runtime, image=image) for runtime, image in found)  # type: ignore[misc]
    docker.run("rm", "-f", "subject")


ROWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "an exit code": ((), ("exit", "7")),
    "a memory limit": (("--memory", "128m"), ("allocate", "300")),
    "a limit of processors": (("--cpus", "0.5"), ("exit", "3")),
    "a limit of processes": (("--pids-limit", "10"), ("exit", "3")),
    "a crash": ((), ("crash",)),
    "an init": (("--init",), ("exit", "3")),
    "an init and a crash": (("--init",), ("crash",)),
    "no capabilities": (("--cap-drop", "ALL", "--security-opt", "no-new-privileges"), ("exit", "3")),
    "no seccomp": (("--security-opt", "seccomp=unconfined"), ("exit", "3")),
    "processes of the host": (("--pid", "host"), ("exit", "3")),
    "memory of the host": (("--ipc", "host"), ("exit", "3")),
    "a device": (("--device", "/dev/null:/dev/other"), ("exit", "3")),
    "a port": (("-p", "127.0.0.1::80"), ("exit", "3")),
    "a read-only root": (("--read-only",), ("exit", "3")),
    "much output": ((), ("lines", "5000")),
    "an unknown action": ((), ("nothing",)),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row(columns: tuple[Column, Column, Column], name: str) -> None:
    runc, rune, tee = columns
    plain = runc.run(*_row(name))
    assert rune.run(*_row(name)) == plain
    assert tee.run(*_row(name)) == plain


def _row(name: str) -> tuple[tuple[str, ...], *tuple[str, ...]]:
    options, arguments = ROWS[name]
    return options, *arguments


def test_standard_input(columns: tuple[Column, Column, Column]) -> None:
    text = "".join(f"{number}\n" for number in range(5000))
    for column in columns:
        assert column.run(("-i",), "cat", stdin=text) == Said(code=0, out=text.rstrip("\n"), err="")


def test_who_and_where_it_is(columns: tuple[Column, Column, Column]) -> None:
    options = ("--user", "1000:1000", "-w", "/tmp", "--hostname", "fish", "-e", "TAKEN=1", "-e", "OTHER=2")
    plain, rune, tee = (column.run(options, "id", "a b") for column in columns)
    # Variables that docker was given come in any order.
    assert sorted(plain.out.splitlines()) == sorted(rune.out.splitlines())
    assert (plain.code, plain.err) == (rune.code, rune.err)
    assert "uid=1000 gid=1000 cwd=/tmp\nhost=fish\nargument a b" in plain.out
    assert "uid=0 gid=0 cwd=/\n" in tee.out
    assert "fish" not in tee.out
    assert "variable TAKEN=1" in tee.out
    assert "OTHER" not in tee.out
    assert tee.err == (
        "enclavize: warning: of this container the enclave does not use: user 1000, working directory /tmp; "
        "a build decides that"
    )


def test_volumes(columns: tuple[Column, Column, Column], tmp_path: Path) -> None:
    for number, column in enumerate(columns):
        assert column.run(("-v", f"volume-{number}:/data"), "put", "/data/file", "text").code == 0
        assert column.run(("-v", f"volume-{number}:/data"), "cat", "/data/file").out == "text"
        column.docker("volume", "rm", f"volume-{number}")
    (tmp_path / "file").write_text("of the host\n")
    tmp_path.chmod(0o755)
    plain, rune, tee = (column.run(("-v", f"{tmp_path}:/mnt:ro"), "cat", "/mnt/file") for column in columns)
    assert plain == rune == Said(code=0, out="of the host", err="")
    assert tee.code == 1
    assert "does not see: /mnt; a build opens them with --volume" in tee.err


def test_no_termination_log_is_given(columns: tuple[Column, Column, Column]) -> None:
    """The TEE image opens it to Kubernetes; docker has none, so it is a file like another."""
    for column in columns:
        assert column.run((), "put", "/dev/termination-log", "last words") == Said(code=0, out="", err="")


def test_command_lines(columns: tuple[Column, Column, Column]) -> None:
    runc, rune, tee = columns
    for options, arguments in (
        (("--entrypoint", "/bin/guest"), ("exit", "3")),
        (("--entrypoint", "/no"), ()),
    ):
        plain = runc.run(options, *arguments)
        assert rune.run(options, *arguments) == plain
        refused = tee.run(options, *arguments)
        assert refused.code == 125
        assert (
            f"told to run [{' '.join((*options[1:], *arguments))}], the enclave runs [/bin/guest wait]"
            in refused.err
        )
    tee.start("wait", options=("--entrypoint", "/bin/guest"))


@pytest.mark.parametrize(
    ("arguments", "timeout", "codes"),
    [(("wait",), "30", "0 0 0"), (("sleep",), "2", "137 137 143"), (("sleep", "ignore"), "1", "137 137 137")],
)
def test_stop(
    columns: tuple[Column, Column, Column], arguments: tuple[str, ...], timeout: str, codes: str
) -> None:
    found = []
    for column in columns:
        column.start(*arguments)
        column.docker("stop", "-t", timeout, column.name)
        found.append(column.inspect("{{.State.Status}} {{.State.ExitCode}}"))
        column.docker("rm", "-f", column.name)
    assert found == [f"exited {code}" for code in codes.split()]


def test_signals_restart_and_pause(columns: tuple[Column, Column, Column]) -> None:
    seen = []
    for column in columns:
        column.start("wait")
        for number, signal in ((1, "HUP"), (10, "USR1")):
            column.docker("kill", "-s", signal, column.name)
            column.wait_for_log(f"signal {number}")
        states = [column.docker("pause", column.name).code, column.inspect("{{.State.Status}}")]
        states += [column.docker("unpause", column.name).code, column.inspect("{{.State.Status}}")]
        states.append(column.docker("restart", "-t", "30", column.name).code)
        column.wait_for_log("ready", 2)
        states.append(column.docker("update", "--memory", "512m", "--memory-swap", "512m", column.name).code)
        states.append(len(column.docker("top", column.name, "-o", "pid").out.splitlines()))
        states.append(column.docker("kill", column.name).code)
        states.append(column.docker("wait", column.name).out)
        seen.append((states, column.docker("logs", column.name)))
        column.docker("rm", "-f", column.name)
    assert seen[1] == seen[0]
    assert seen[2] == seen[0]


def test_create_and_start_twice(columns: tuple[Column, Column, Column]) -> None:
    for column in columns:
        made = column.docker(
            "create", "--network", "none", "--name", column.name, "--runtime", column.runtime, column.image,
            "exit", "6",
        )  # fmt: skip
        assert made.code == 0
        assert [column.docker("start", "-a", column.name).code for _ in range(2)] == [6, 6]
        column.docker("rm", column.name)


def test_a_restart_policy(columns: tuple[Column, Column, Column]) -> None:
    for column in columns:
        column.docker(
            "run", "-d", "--network", "none", "--restart", "on-failure:1", "--name", column.name, "--runtime",
            column.runtime, column.image, "exit", "5",
        )  # fmt: skip
        for _ in range(400):
            if column.inspect("{{.RestartCount}} {{.State.Status}}") == "1 exited":
                break
            time.sleep(0.05)
        assert column.inspect("{{.RestartCount}} {{.State.ExitCode}}") == "1 5"
        column.docker("rm", "-f", column.name)


def test_the_strictest_policy(docker: Engine) -> None:
    column = Column(engine=docker, runtime="rune", image=STRICT)
    refused = column.run((), "exit", "3")
    assert refused.code == 126
    assert "arguments are not allowed by the measured policy" in refused.err
    column.start()
    column.docker("rm", "-f", column.name)
