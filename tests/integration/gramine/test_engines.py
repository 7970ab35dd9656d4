"""Images for Gramine under a real dockerd: with rune, and with the stock runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.resources import native_file
from support.engines import running_dockerd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Engine

    from .conftest import Lab

pytestmark = pytest.mark.integration

TAG = "example.test/gramine:tee"
SIMULATE = ("-e", "ENCLAVIZE_SIMULATE=1")


@pytest.fixture(scope="module")
def docker(real: Lab, source: str) -> Iterator[Engine]:
    """Return a dockerd with the small image, which lets the host give arguments."""
    archive = real.base / "docker.tar"
    output = f"type=docker,dest={archive}"
    real.converter.run("build", source, *real.options("--allow-args"), "-t", TAG, "-o", output)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    pins = real.base / "pins"
    pins.write_text(real.digests())
    environment = {"PATH": path, "ENCLAVIZE_SIMULATE": "1"}
    settings = f'host_files = ["{pins}"]\n'
    with running_dockerd(native_file("rune"), environment, settings=settings) as engine:
        engine.run("load", "-i", archive, check=True)
        yield engine


@pytest.mark.parametrize(
    "options",
    [
        ("--runtime", "rune"),
        ("--runtime", "rune", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges"),
        ("--runtime", "runc", "--security-opt", "seccomp=unconfined", *SIMULATE),
    ],
    ids=["rune", "rune-hardened", "stock"],
)
def test_direct_mode_runs_under_docker(docker: Engine, options: tuple[str, ...]) -> None:
    run = ("run", "--rm", "--network", "none", *options, TAG)
    assert docker.run(*run).stdout.startswith("name /usr/bin/probe\ncwd /\nids 7 8\n")
    assert docker.run(*run, "exit", "6").returncode == 6
    assert docker.run(*run, "cat", "/etc/hosts").stdout == "127.0.0.1 inside\n"


def test_dockers_own_profile_is_named_where_it_forbids_direct_mode(docker: Engine) -> None:
    done = docker.run("run", "--rm", "--network", "none", "--runtime", "runc", *SIMULATE, TAG)
    if done.returncode == 0:
        pytest.skip("this docker's profile allows it")
    assert done.returncode == 125
    assert "seccomp profile forbids" in done.stderr


def test_docker_stop_lets_the_program_end_itself(docker: Engine) -> None:
    run = ("run", "-d", "--network", "none", "--runtime", "rune", TAG, "wait")
    container = docker.run(*run, check=True).stdout.strip()
    try:
        while "ready" not in docker.run("logs", container).stdout:
            assert docker.run("inspect", "-f", "{{.State.Running}}", container).stdout == "true\n"
        docker.run("stop", container, check=True)
        assert docker.run("wait", container, check=True).stdout == "3\n"
    finally:
        docker.run("rm", "-f", container)
