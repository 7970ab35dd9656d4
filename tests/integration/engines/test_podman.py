"""podman as root: simulation by an option, as conmon hands on no environment; errors in podman's words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.guest import ORDINARY, TEE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from support.engines import Engine

pytestmark = pytest.mark.integration

COLUMNS = {
    "runc": (("--runtime", "runc"), ORDINARY),
    "rune": (("--runtime", "rune"), ORDINARY),
    "tee": (("--runtime", "rune", "--runtime-flag", "simulate"), TEE),
}


def _run(
    podman: Engine, column: str, options: tuple[str, ...], *arguments: str
) -> subprocess.CompletedProcess[str]:
    flags, image = COLUMNS[column]
    return podman.run(*flags, "run", "--rm", "--network", "none", *options, image, *arguments)


@pytest.fixture
def subject(podman: Engine) -> Iterator[str]:
    """Name a container that is removed."""
    yield "subject"
    podman.run("rm", "--force", "--time", "0", "subject")


@pytest.mark.parametrize(
    "row",
    [
        ((), ("exit", "7")),
        (("--memory", "128m"), ("allocate", "300")),
        (("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"), ("exit", "3")),
        (("--init",), ("exit", "3")),
        ((), ("lines", "2000")),
    ],
)
def test_a_row(podman: Engine, row: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    found = {column: _run(podman, column, row[0], *row[1]) for column in COLUMNS}
    plain = (found["runc"].returncode, found["runc"].stdout)
    assert {column: (done.returncode, done.stdout) for column, done in found.items()} == dict.fromkeys(
        COLUMNS, plain
    ), {column: done.stderr for column, done in found.items()}


def test_a_volume(podman: Engine, tmp_path: Path) -> None:
    for column in COLUMNS:
        done = _run(podman, column, ("-v", f"{tmp_path}:/data"), "put", f"/data/{column}", column)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / column).read_text() == f"{column}\n"


def test_stop_and_signals(podman: Engine, subject: str) -> None:
    for flags, image in COLUMNS.values():
        started = podman.run(*flags, "run", "-d", "--network", "none", "--name", subject, image, "wait")
        assert started.returncode == 0, started.stderr
        _wait_for_log(podman, subject, "ready")
        podman.run("kill", "-s", "USR1", subject, check=True)
        _wait_for_log(podman, subject, "signal 10")
        podman.run("stop", "-t", "30", subject, check=True)
        state = podman.run("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", subject).stdout
        assert state == "exited 0\n"
        podman.run("rm", subject, check=True)


def test_errors_are_in_podmans_words(podman: Engine) -> None:
    done = podman.run("--runtime", "rune", "run", "--rm", "--network", "none", TEE, "exit", "0")
    assert done.returncode in (125, 126)
    assert done.stderr.startswith("Error: OCI runtime error: rune: there is no /dev/sgx_enclave"), done.stderr
    assert "--runtime-flag simulate" in done.stderr
    done = _run(podman, "tee", ("--entrypoint", "/no"))
    assert done.stderr.startswith("Error: OCI runtime error: rune: this container is told to run [/no"), (
        done.stderr
    )


def _wait_for_log(podman: Engine, name: str, text: str) -> None:
    for _ in range(200):
        if text in podman.run("logs", name).stdout:
            return
        time.sleep(0.05)
    pytest.fail("this took longer than ten seconds")
