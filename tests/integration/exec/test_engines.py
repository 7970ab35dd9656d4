"""Commands from outside by the ways of engines: health checks, docker exec, containerd's tasks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.commands import HEALTHY_FILE, health_image
from support.cri import Cri, CriError, remove_control_groups
from support.cri.streaming import STDERR, STDIN, STDOUT
from support.engines import TAG, archives, podman_storage, running_containerd, running_cri, running_dockerd
from support.programs import need, need_root
from support.tee import Converter
from support.terminal import INTERRUPT, SUSPEND, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.engines import Engine
    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The image as a docker archive and as an OCI archive: its health is a file on the volume."""
    need("umoci", "skopeo", "runc", "musl-gcc")
    need_root()
    base = tmp_path_factory.mktemp("exec-engines")
    converter = Converter.create(base)
    source, built, layout = health_image(base / "image"), base / "tee.tar", base / "layout"
    converter.run(
        "build", source, "-t", TAG, "--key", str(converter.key), "--volume", "/data",
        "--allow-exec", "/probe cat", "--allow-exec", "/probe sleep 1000", "--allow-args",
        "-o", f"type=oci,dest={built}",
    )  # fmt: skip
    subprocess.run(["skopeo", "copy", "-q", f"oci-archive:{built}", f"oci:{layout}:1"], check=True)
    return archives(layout, base)


@pytest.fixture(scope="module")
def docker(installation: RuneInstallation, loaded: tuple[Path, Path]) -> Iterator[Engine]:
    environment = {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}
    with running_dockerd(installation.rune, environment) as engine:
        engine.run("load", "-i", loaded[0], check=True)
        yield engine


@pytest.fixture
def container(docker: Engine, tmp_path: Path) -> Iterator[str]:
    """A container hardened as far as docker goes, whose volume is the test's folder ``data``."""
    (tmp_path / "data").mkdir(mode=0o777)
    (tmp_path / "data").chmod(0o777)
    name = docker.run(
        "run", "-d", "--runtime", "rune", "--network", "host", "--user", "65534", "--cap-drop", "ALL",
        "--read-only", "--security-opt", "no-new-privileges", "-v", f"{tmp_path / 'data'}:/data", TAG,
        check=True,
    ).stdout.strip()  # fmt: skip
    yield name
    docker.run("rm", "-f", name)


def _health(docker: Engine, container: str, wanted: str) -> dict[str, Any]:
    health: dict[str, Any] = {}
    for _ in range(300):
        health = json.loads(docker.run("inspect", container, check=True).stdout)[0]["State"]["Health"]
        if health["Status"] == wanted:
            return health
        time.sleep(0.1)
    pytest.fail(f"not {wanted}: {health}")


def test_health_checks_turn_healthy_and_unhealthy(docker: Engine, container: str, tmp_path: Path) -> None:
    (tmp_path / "data" / HEALTHY_FILE).touch()
    health = _health(docker, container, "healthy")
    assert health["Log"][-1]["ExitCode"] == 0
    (tmp_path / "data" / HEALTHY_FILE).unlink()
    health = _health(docker, container, "unhealthy")
    assert health["Log"][-1]["ExitCode"] == 1
    (tmp_path / "data" / HEALTHY_FILE).touch()
    _health(docker, container, "healthy")


def test_docker_exec(docker: Engine, container: str) -> None:
    done = docker.run("exec", "-i", container, "/probe", "cat", stdin="a\nb\n")
    assert (done.returncode, done.stdout) == (0, "a\nb\n"), done.stderr
    done = docker.run("exec", container, "/probe", "exit", "0")
    assert done.returncode == 126
    assert "the measured policy does not allow this command" in done.stderr
    for options in (("--user", "0"), ("--workdir", "/data"), ("--privileged",)):
        done = docker.run("exec", *options, container, "/probe", "cat")
        assert done.returncode == 126, options
    docker.run("exec", "-d", container, "/probe", "sleep", "1000", check=True)
    assert "sleep" in docker.run("top", container, check=True).stdout
    docker.run("stop", container, check=True)  # ends it, too


DETACH = b"\x10\x11"
"""^P^Q: keys of docker's own client."""


def test_the_terminal_of_docker_run(docker: Engine) -> None:
    """Sizes reach the first process; ^Z does not stop it, as in any container; who detaches can come back."""
    name = f"terminal-{os.getpid()}"
    run = ("run", "-it", "--name", name, "--runtime", "rune", "--network", "host", TAG, "size")
    terminals = [Terminal([*docker.command, *run])]
    try:
        for rows in (30, 31):
            terminals[0].resize_until(rows, 90, b"size %d 90\n" % rows)
        terminals[0].type(SUSPEND)
        terminals[0].resize_until(32, 90, b"size 32 90\n")
        terminals[0].type(DETACH)
        assert terminals[0].wait() == 0
        assert docker.run("inspect", "-f", "{{.State.Running}}", name).stdout == "true\n"
        terminals.append(Terminal([*docker.command, "attach", name]))
        terminals[1].resize_until(33, 91, b"size 33 91\n")
        docker.run("stop", "-t", "100", name, check=True)
        assert terminals[1].wait() == 128 + signal.SIGTERM
    finally:
        docker.run("rm", "-f", name)
        for terminal in terminals:
            terminal.close()


def test_containerd_executes_and_kills(
    installation: RuneInstallation, loaded: tuple[Path, Path], tmp_path: Path
) -> None:
    name = f"exec-{os.getpid()}"
    with running_containerd({"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}) as ctr:
        ctr.run("images", "import", "--snapshotter", "native", "--base-name", "tee", loaded[1], check=True)
        image = ctr.run("images", "list", "-q").stdout.split()[0]
        ctr.run(
            "run", "--detach", "--runtime", "io.containerd.runc.v2", "--runc-binary", installation.rune,
            "--snapshotter", "native", image, name, check=True,
        )  # fmt: skip
        try:
            done = ctr.run("tasks", "exec", "--exec-id", "one", name, "/probe", "cat", stdin="x")
            assert (done.returncode, done.stdout) == (0, "x"), done.stderr
            exec_ = ("tasks", "exec", "--exec-id", "two", name, "/probe", "sleep", "1000")
            with subprocess.Popen([*ctr.command, *exec_], stderr=subprocess.DEVNULL) as command:
                for _ in range(200):
                    if ctr.run("tasks", "kill", "--exec-id", "two", "-s", "SIGTERM", name).returncode == 0:
                        break
                    time.sleep(0.05)
                assert command.wait(120) == 128 + 15
        finally:
            ctr.run("tasks", "delete", "--force", name)
            ctr.run("containers", "delete", name)


def test_podman_exec(installation: RuneInstallation, loaded: tuple[Path, Path]) -> None:
    flags = ("--runtime", "rune", "--runtime-flag", "simulate")
    with podman_storage(installation.rune) as podman:
        podman.run("load", "-q", "-i", loaded[0], check=True)
        started = podman.run(*flags, "run", "-d", "--network", "none", "--name", "probe", TAG)
        if started.returncode != 0:
            pytest.skip(f"podman runs no container here: {started.stderr.strip()[-200:]}")
        done = podman.run(*flags, "exec", "-i", "probe", "/probe", "cat", stdin="a\nb\n")
        assert (done.returncode, done.stdout) == (0, "a\nb\n"), done.stderr
        done = podman.run(*flags, "exec", "probe", "/probe", "exit", "0")
        assert done.returncode == 126
        assert "the measured policy does not allow this command" in done.stderr
        with subprocess.Popen(
            [*podman.command, *flags, "exec", "probe", "/probe", "sleep", "1000"]
        ) as sleeper:
            podman.run(*flags, "kill", "-s", "KILL", "probe", check=True)
            assert sleeper.wait(60) != 0


SANDBOX, IN_POD = "localhost/probe:1", "localhost/probe:tee"


@pytest.fixture
def cri(
    installation: RuneInstallation, loaded: tuple[Path, Path], tmp_path: Path
) -> Iterator[tuple[Engine, Cri]]:
    """Kubernetes' interface of containerd, with the image, and the ordinary one for sandboxes."""
    environment = {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}
    layouts = {SANDBOX: loaded[1].parent / "image" / "layout", IN_POD: loaded[1].parent / "layout"}
    with running_cri(installation.rune, SANDBOX, environment) as engine:
        for name, layout in layouts.items():
            archive = tmp_path / f"{layout.parent.name}.tar"
            target = f"oci-archive:{archive}:{name}"
            subprocess.run(["skopeo", "copy", "-q", f"oci:{layout}:1", target], check=True)
            command = ("--namespace", "k8s.io", "images", "import", "--snapshotter", "native", archive)
            engine.run(*command, check=True)
        yield engine, Cri(engine.command[-1])
    remove_control_groups()


def test_exec_probes_of_a_kubelet(cri: tuple[Engine, Cri], tmp_path: Path) -> None:
    """A hardened pod in the host's network; a probe that takes too long is ended."""
    _, kubelet = cri
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o777)
    pod = kubelet.pod("rune", tmp_path / "logs")
    container = kubelet.create(pod, IN_POD, mounts=[("/data", folder)], user=65534, hardened=True)
    kubelet.on("StartContainer", container)
    try:
        probe = ("/probe", "exists", f"/data/{HEALTHY_FILE}")
        assert kubelet.exec_sync(container, *probe).exit_code == 1
        (folder / HEALTHY_FILE).touch()
        assert kubelet.exec_sync(container, *probe).exit_code == 0
        refused = kubelet.exec_sync(container, "/probe", "exists", "/")
        assert refused.exit_code == 126
        assert b"--allow-exec" in refused.stderr
        with pytest.raises(CriError, match="DEADLINE_EXCEEDED"):
            kubelet.exec_sync(container, "/probe", "sleep", "1000", timeout=1)
        assert kubelet.exec_sync(container, *probe).exit_code == 0
    finally:
        kubelet.remove(pod.id)


def test_streams_and_terminals_of_kubectl_exec(cri: tuple[Engine, Cri], tmp_path: Path) -> None:
    _, kubelet = cri
    pod = kubelet.pod("rune", tmp_path / "logs")
    container = kubelet.create(pod, IN_POD)
    kubelet.on("StartContainer", container)
    try:
        command = kubelet.exec(container, "/probe", "cat")
        command.send(STDIN, b"a line\n")
        assert command.read_until(STDOUT, b"\n") == b"a line\n"
        command.close()
        command = kubelet.exec(container, "/probe", "cat", tty=True)
        command.send(STDIN, b"typed\n")
        assert command.read_until(STDOUT, b"typed\r\ntyped\r\n") == b"typed\r\ntyped\r\n"
        command.send(STDIN, INTERRUPT)
        assert command.wait() == 128 + signal.SIGINT
        for tty in (False, True):
            refused = kubelet.exec(container, "/probe", "both", tty=tty)
            assert refused.wait() == 126
            assert b"--allow-exec" in refused.said[STDOUT if tty else STDERR]
        assert kubelet.exec(container, "/probe", "exists", f"/data/{HEALTHY_FILE}").wait() == 1
    finally:
        kubelet.remove(pod.id)
