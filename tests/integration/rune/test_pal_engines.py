"""Occlum's images under dockerd, with rune and the trial PAL: what users of Inclavare type."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.engines import TAG, archives, running_dockerd
from support.occlum_image import digest_of, pal_list
from support.rune import RuneInstallation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Engine
    from support.occlum_image import OcclumImage

pytestmark = pytest.mark.integration

RUN = ("run", "--rm", "--runtime", "rune")


@pytest.fixture(scope="module")
def docker(
    installation: RuneInstallation, occlum: OcclumImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Start dockerd with a rune that lists the trial PAL."""
    folder = tmp_path_factory.mktemp("node")
    built = RuneInstallation.create(folder)
    (folder / "occlum.toml").write_text(pal_list(occlum.pal, digest_of(occlum.pal)))
    (folder / "config.toml").write_text(
        f'allow_simulation = true\npals = ["{folder / "occlum.toml"}"]\npal_copies = "{folder / "copies"}"\n'
    )
    environment = {"PATH": os.environ["PATH"], "ENCLAVIZE_RUNE_CONFIG": str(folder / "config.toml")}
    docker_archive, _ = archives(occlum.layout, folder)
    with running_dockerd(built.rune, environment) as engine:
        engine.run("load", "-i", docker_archive, check=True)
        yield engine


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--user", "1000"),
        ("--user", "1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
        ("--init",),
        ("-e", "ENCLAVE_TYPE=intelSgx", "-e", "ENCLAVE_RUNTIME_PATH=/opt/occlum/build/lib/libocclum-pal.so",
         "-e", "ENCLAVE_RUNTIME_ARGS=occlum_instance"),
    ],
)  # fmt: skip
def test_docker_run_gives_output_and_exit_code(docker: Engine, options: tuple[str, ...]) -> None:
    done = docker.run(*RUN, *options, TAG, "exit", "7")
    assert done.returncode == 7, done.stderr
    assert "argument exit\nargument 7\n" in done.stdout
    assert done.stdout.endswith("destroy\n")


def test_docker_says_why_an_enclave_does_not_start(docker: Engine) -> None:
    done = docker.run(*RUN, "-e", "TRIAL_WORDS=result=init:-12", TAG, "exit", "0")
    assert done.returncode != 0
    assert "the enclave has not started: pal_init of the PAL has failed: -12" in done.stderr


def test_docker_says_why_a_container_is_refused(docker: Engine) -> None:
    done = docker.run(*RUN, "-e", "ENCLAVE_RUNTIME_PATH=/evil.so", TAG, "exit", "0")
    assert done.returncode != 0
    assert "enclave.runtime.path '/evil.so'" in done.stderr


def test_a_container_that_was_stopped_starts_again(docker: Engine) -> None:
    docker.run("run", "-d", "--runtime", "rune", "--name", "again", TAG, "signal", check=True)
    try:
        for _ in range(2):
            docker.run("stop", "--time", "30", "again", check=True)
            state = docker.run("inspect", "--format", "{{.State.ExitCode}}", "again").stdout
            assert state == "143\n"
            docker.run("start", "again", check=True)
        assert docker.run("inspect", "--format", "{{.State.Status}}", "again").stdout == "running\n"
    finally:
        docker.run("rm", "--force", "again")
