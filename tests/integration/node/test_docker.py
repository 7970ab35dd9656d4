"""Ordinary images under dockerd: they run in enclaves, and a restart is a start."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.engines import running_dockerd
from support.guest import ORDINARY
from support.node import measured, running_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Engine
    from support.node import Node
    from support.signing_service import Service

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def node(service: Service) -> Iterator[Node]:
    """Prepare the daemon, which is started when dockerd has a socket."""
    with running_node(
        (
            "--signer",
            service.url,
            "--signer-token-file",
            service.folder / "node.token",
            "--signer-ca",
            service.ca,
        )
    ) as running:
        yield running


@pytest.fixture(scope="module")
def docker(
    node: Node,
    layout: Path,
    rune: Path,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    with running_dockerd(rune, environment) as engine:
        _load(engine, layout, ORDINARY, tmp_path_factory.mktemp("docker"))
        node.stop()
        node.options = ("--docker-host", engine.command[-1])
        node.start()
        yield engine


def _load(engine: Engine, layout: Path, name: str, folder: Path) -> None:
    archive = folder / "image.tar"
    copy = ["skopeo", "copy", "-q", f"oci:{layout}:1", f"docker-archive:{archive}:{name}"]
    subprocess.run(copy, check=True)
    engine.run("load", "-i", archive, check=True)


def _run(engine: Engine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return engine.run("run", "--rm", "--network", "none", "--runtime", "rune", *arguments)


def test_an_ordinary_image_runs_in_an_enclave_whose_measurement_others_can_tell(
    docker: Engine, node: Node, layout: Path, tmp_path: Path
) -> None:
    done = _run(docker, "-e", "TAKEN=1", "-e", "OTHER=2", ORDINARY, "id", "x y")
    assert done.returncode == 0, done.stderr
    assert "argument x y" in done.stdout
    assert "variable TAKEN=1" in done.stdout
    assert "OTHER" not in done.stdout
    assert "SIMULATION" in done.stderr
    conversion = node.status()["conversions"][0]
    assert conversion["mrenclave"] == measured(f"oci:{layout}:1", node.rules, tmp_path)
    assert conversion["image"]["name"] == ORDINARY
    assert not node.leftovers()


def test_other_programs_are_refused(docker: Engine) -> None:
    done = _run(docker, "--entrypoint", "/bin/other", ORDINARY)
    assert done.returncode == 125
    assert "told to run [/bin/other], the enclave runs" in done.stderr
    assert _run(docker, "--entrypoint", "/bin/guest", ORDINARY, "exit", "6").returncode == 6


def test_a_container_starts_again(docker: Engine) -> None:
    docker.run(
        "create",
        "--name",
        "again",
        "--network",
        "none",
        "--runtime",
        "rune",
        ORDINARY,
        "exit",
        "5",
        check=True,
    )
    for _ in range(2):
        assert docker.run("start", "-a", "again").returncode == 5
    docker.run("rm", "again", check=True)


def test_a_command_runs_in_the_enclave_as_far_as_it_is_measured(docker: Engine) -> None:
    docker.run("run", "-d", "--name", "busy", "--network", "none", "--runtime", "rune", ORDINARY, check=True)
    try:
        refused = docker.run("exec", "busy", "/bin/guest", "exit", "0")
        assert refused.returncode == 126
    finally:
        docker.run("rm", "-f", "busy", check=True)


def test_rules_do_not_go_by_a_name_that_has_moved(
    docker: Engine, node: Node, layout: Path, tmp_path: Path
) -> None:
    """The container keeps its image, and the name means another one: a rule for the name is not for it."""
    (node.rules / "50-all.toml").rename(tmp_path / "rule")
    named = f'[match]\nimage = ["{ORDINARY}"]\n' + "[policy]\nallow-args = true\n"
    (node.rules / "10-named.toml").write_text(named)
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", layout, other], check=True)
    change = ["umoci", "config", "--image", f"{other}:1", "--config.user", "7:7"]
    subprocess.run(change, check=True, capture_output=True)
    create = ("create", "--name", "moved", "--network", "none", "--runtime", "rune", ORDINARY, "exit", "5")
    try:
        docker.run(*create, check=True)
        assert docker.run("start", "-a", "moved").returncode == 5
        _load(docker, other, ORDINARY, tmp_path)
        done = docker.run("start", "-a", "moved")
        assert done.returncode != 0
        assert "no rule of this node is for" in done.stderr
    finally:
        docker.run("rm", "-f", "moved")
        (node.rules / "10-named.toml").unlink()
        (tmp_path / "rule").rename(node.rules / "50-all.toml")
    assert "uid=7" in _run(docker, ORDINARY, "id").stdout


def test_a_changed_lower_folder_never_runs(docker: Engine, node: Node) -> None:
    """The conversion is there already: it is the enclave that finds what it was not made of."""
    assert _run(docker, ORDINARY, "exit", "5").returncode == 5
    driver = docker.run("image", "inspect", "-f", "{{.GraphDriver.Name}}", ORDINARY).stdout.strip()
    if driver != "overlay2":
        pytest.skip(f"with {driver} containers have copies of the image's files")
    upper = docker.run("image", "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", ORDINARY).stdout.strip()
    program = Path(upper) / "bin" / "guest"
    content = program.read_bytes()
    program.write_bytes(content[:4096] + bytes([content[4096] ^ 1]) + content[4097:])
    try:
        done = _run(docker, ORDINARY, "exit", "5")
        assert done.returncode != 5
        assert "/bin/guest" in done.stderr
    finally:
        program.write_bytes(content)
    assert _run(docker, ORDINARY, "exit", "5").returncode == 5
