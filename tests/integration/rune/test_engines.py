"""TEE images under real engines: dockerd with its stock runtime and with rune, containerd with rune.

The runelet is the real one, its PAL is the stub: what an engine sees of a container is the runelet's doing.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from support.engines import TAG, archives, running_containerd, running_dockerd
from support.rune import ENTRYPOINT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.engines import Engine
    from support.rune import RuneInstallation, UnpackedTeeImage

pytestmark = pytest.mark.integration

HARDENED = (
    "--network", "none", "--user", "65534", "--cap-drop", "ALL", "--read-only", "--security-opt",
    "no-new-privileges",
)  # fmt: skip


@pytest.fixture(scope="module")
def tee_archives(image: UnpackedTeeImage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return archives(image.layout, tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def docker(installation: RuneInstallation, tee_archives: tuple[Path, Path]) -> Iterator[Engine]:
    environment = {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}
    with running_dockerd(installation.rune, environment) as engine:
        engine.run("load", "-i", tee_archives[0], check=True)
        yield engine


@pytest.fixture(scope="module")
def ctr(tee_archives: tuple[Path, Path]) -> Iterator[Engine]:
    with running_containerd({"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}) as engine:
        engine.run(
            "images", "import", "--snapshotter", "native", "--base-name", "tee", tee_archives[1], check=True
        )
        yield engine


@pytest.mark.parametrize("runtime", ["runc", "rune"])
def test_docker_run_hardened_gives_output_and_exit_code(docker: Engine, runtime: str) -> None:
    run = ("run", "--rm", "--runtime", runtime, *HARDENED, "-e", "ENCLAVIZE_SIMULATE=1", "-e", "A=1", TAG)
    done = docker.run(*run, "show", "a b")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "argument a b" in lines
    assert "environment A=1" in lines
    assert "words instance=/.enclave/instance root=/ mode=sim" in lines
    assert done.stderr.splitlines() == [
        "enclavize: warning: of this container the enclave does not use: user 65534; a build decides that"
    ]
    assert docker.run(*run, "exit", "7").returncode == 7


@pytest.mark.parametrize("runtime", ["runc", "rune"])
@pytest.mark.parametrize(("command", "status"), [("stop", 143), ("kill", 137), ("interrupt", 130)])
def test_docker_stop_and_kill_end_the_program(
    docker: Engine, runtime: str, command: str, status: int
) -> None:
    container = docker.run(
        "run", "-d", "--runtime", runtime, "--network", "none", TAG, "wait", check=True
    ).stdout.strip()
    try:
        _wait_for_log(docker, container, "ready")
        signal = {"stop": ("stop",), "kill": ("kill",), "interrupt": ("kill", "-s", "INT")}[command]
        docker.run(*signal, container, check=True)
        assert docker.run("wait", container, check=True).stdout.strip() == str(status)
    finally:
        docker.run("rm", "-f", container)


def test_docker_names_a_volume_that_the_enclave_does_not_see(docker: Engine, tmp_path: Path) -> None:
    done = docker.run("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/other", TAG, "exit", "0")
    assert done.stderr.splitlines() == [
        "enclavize: warning: mounts that the enclave does not see: /other; a build opens them with --volume"
    ]


def test_docker_exec_asks_the_enclave(docker: Engine) -> None:
    container = docker.run(
        "run", "-d", "--runtime", "rune", "--network", "none", TAG, "wait", check=True
    ).stdout.strip()
    try:
        _wait_for_log(docker, container, "ready")
        done = docker.run("exec", "-e", "A=1", container, "show", "a b")
        assert done.returncode == 0, done.stderr
        assert "argument a b" in done.stdout.splitlines()
        assert "environment A=1" in done.stdout.splitlines()
        assert docker.run("exec", container, "exit", "7").returncode == 7
        done = docker.run("exec", "--user", "65534", container, "show")
        assert (done.returncode, done.stdout) == (126, "")
        assert "--user" in done.stderr
    finally:
        docker.run("rm", "-f", container)


def test_docker_shows_why_rune_refused(docker: Engine, tmp_path: Path) -> None:
    done = docker.run("run", "--rm", "--runtime", "rune", "--network", "none", "--entrypoint", "sh", TAG)
    assert done.returncode != 0
    assert "told to run [sh], the enclave runs [" in done.stderr
    done = docker.run(
        "run", "--rm", "--runtime", "rune", "--network", "none", "-v", f"{tmp_path}:/.enclave/instance", TAG
    )
    assert "cover /.enclave" in done.stderr


def _run(ctr: Engine, installation: RuneInstallation, name: str, *arguments: str) -> list[str]:
    image = ctr.run("images", "list", "-q").stdout.split()[0]
    return [
        "run", "--rm", "--runtime", "io.containerd.runc.v2", "--runc-binary", str(installation.rune),
        "--snapshotter", "native", image, name, ENTRYPOINT, *arguments,
    ]  # fmt: skip


def test_containerd_gives_output_and_exit_code(
    ctr: Engine, installation: RuneInstallation, name: str
) -> None:
    done = ctr.run(*_run(ctr, installation, name, "show", "a b"))
    assert done.returncode == 0, done.stderr
    assert "argument a b" in done.stdout.splitlines()
    assert ctr.run(*_run(ctr, installation, name, "exit", "7")).returncode == 7


def test_containerd_stops_a_task(ctr: Engine, installation: RuneInstallation, name: str) -> None:
    command = _run(ctr, installation, name, "wait")
    command.remove("--rm")
    ctr.run(*command[:1], "--detach", *command[1:], check=True)
    try:
        time.sleep(0.5)
        assert "RUNNING" in ctr.run("tasks", "list").stdout
        assert ctr.run("tasks", "exec", "--exec-id", "x", name, "exit", "7").returncode == 7
        assert ctr.run("tasks", "kill", "-s", "SIGTERM", name).returncode == 0
        for _ in range(100):
            if "STOPPED" in ctr.run("tasks", "list").stdout:
                break
            time.sleep(0.05)
        done = ctr.run("tasks", "delete", name)
        assert done.returncode in (0, 143)
        assert "143" in done.stdout + done.stderr or done.returncode == 143
    finally:
        ctr.run("tasks", "delete", "--force", name)
        ctr.run("containers", "delete", name)


def _wait_for_log(docker: Engine, container: str, text: str) -> None:
    for _ in range(100):
        if text in docker.run("logs", container).stdout:
            return
        time.sleep(0.05)
    state = json.loads(docker.run("inspect", container).stdout)[0]["State"]
    pytest.fail(f"no {text!r} in the log: {state}")
