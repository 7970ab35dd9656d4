"""Servers under docker, by its stock runtime and by rune: hardened, and as a user who is nobody."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.pipeline.options import Output, OutputKind
from integration.network.programs import PROGRAMS, convert, told
from support.downloads import debian
from support.engines import running_dockerd
from support.network_namespace import NetworkNamespace
from support.programs import go_program, need, need_root
from support.rune import RuneInstallation
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.network.programs import Program
    from support.engines import Engine

pytestmark = pytest.mark.integration

RUNTIMES = ("runc", "rune")
HARDENED = ("--network", "none", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges")
NOBODY = "33:33"
SECONDS = scaled(60, least=2)
CROWD = scaled(1_000, least=100)
STOP_SECONDS = 30


def program(name: str) -> Program:
    """Return the program of the table."""
    return next(program for program in PROGRAMS if program.name == name)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Run dockerd with TEE images of nginx and Redis, whose user is nobody."""
    need("docker", "dockerd", "runc", "ss")
    need_root()
    base = tmp_path_factory.mktemp("engines")
    installation = RuneInstallation.create(base)
    environment = {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}
    with running_dockerd(installation.rune, environment) as engine:
        for name in ("nginx", "redis"):
            (base / name).mkdir()
            archive = base / name / "tee.tar"
            output = Output(kind=OutputKind.DOCKER_ARCHIVE, destination=archive, names=(f"{name}:tee",))
            convert("c", base / name, output, run=program(name).run, user=NOBODY)
            engine.run("load", "-i", archive, check=True)
        yield engine


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the clients."""
    return go_program(Path(__file__).parent / "crowd", tmp_path_factory.mktemp("clients") / "crowd")


@contextmanager
def running(docker: Engine, name: str, runtime: str, *options: str) -> Iterator[NetworkNamespace]:
    """Run a container until it has been told to stop, which is no failure. Yields its network."""
    run = ("run", "-d", "--runtime", runtime, "-e", "ENCLAVIZE_SIMULATE=1", "--user", NOBODY, *HARDENED)
    container = docker.run(*run, *options, f"{name}:tee", check=True).stdout.strip()
    try:
        network = NetworkNamespace(pid=int(_about(docker, container, "Pid")))
        wanted = {int(target.address.rpartition(":")[2]) for target in program(name).targets}
        while not wanted <= network.listening():
            assert _about(docker, container, "Running") == "true", docker.run("logs", container).stderr
            time.sleep(0.1)
        yield network
        docker.run("stop", "-t", str(STOP_SECONDS), container, check=True)
        assert _about(docker, container, "ExitCode") == "0", docker.run("logs", container).stderr
    finally:
        docker.run("rm", "-f", "-v", container)


def _about(docker: Engine, container: str, name: str) -> str:
    return docker.run("inspect", "-f", f"{{{{.State.{name}}}}}", container, check=True).stdout.strip()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nginx_serves_all_kinds_of_clients(docker: Engine, crowd: Path, runtime: str) -> None:
    with running(docker, "nginx", runtime) as network:
        targets = told(program("nginx").targets)
        done = network.run(crowd, str(SECONDS), str(CROWD), stdin=targets, timeout=SECONDS + 100)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_redis_finds_on_a_volume_what_it_wrote_there(
    docker: Engine, crowd: Path, runtime: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    subprocess.run(["chown", NOBODY, folder], check=True)
    client = ("chroot", debian("bookworm", "redis-tools"), "/usr/bin/redis-cli")
    with running(docker, "redis", runtime, "-v", f"{folder}:/data") as network:
        targets = told(program("redis").targets)
        done = network.run(crowd, str(SECONDS), str(CROWD), stdin=targets, timeout=SECONDS + 100)
        assert done.returncode == 0, done.stderr
        assert network.run(*client, "set", "kept", "for ever").stdout == "OK\n"
        size = network.run(*client, "dbsize").stdout
    assert list(folder.glob("appendonlydir/*.incr.aof"))
    with running(docker, "redis", runtime, "-v", f"{folder}:/data") as network:
        assert network.run(*client, "get", "kept").stdout == "for ever\n"
        assert network.run(*client, "dbsize").stdout == size
