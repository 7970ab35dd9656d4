"""A converted image in its enclave, under real engines and under ``enclavize run``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.engines import TAG, archives, running_containerd, running_dockerd
from support.programs import busybox, need, need_root
from support.rune import ENTRYPOINT, RuneInstallation
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from support.engines import Engine

pytestmark = pytest.mark.integration

HARDENED = (
    "--user", "65534", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges",
)  # fmt: skip
LINES = "".join(f"{number}\n" for number in range(20_000, 0, -1))


@dataclass(frozen=True, kw_only=True)
class TeeImage:
    """A TEE image of busybox that allows arguments and opens /data, in the forms that engines load."""

    docker_archive: Path
    oci_archive: Path
    environment: Mapping[str, str]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> TeeImage:
    need("umoci", "skopeo", "runc")
    need_root()
    base = tmp_path_factory.mktemp("tee-image")
    for folder in ("bin", "data", "tmp"):
        (base / "rootfs" / folder).mkdir(parents=True)
    shutil.copy(busybox(), base / "rootfs" / "bin" / "busybox")
    source = ordinary_image(
        base / "source",
        base / "rootfs",
        config=("--config.entrypoint", "/bin/busybox", "--config.cmd", "env"),
    )
    converter = Converter.create(base)
    built = base / "tee.tar"
    converter.run(
        "build", source, "-t", TAG, "--key", str(converter.key), "--allow-args", "--volume", "/data",
        "-o", f"type=oci,dest={built}",
    )  # fmt: skip
    layout = base / "layout"
    subprocess.run(["skopeo", "copy", "-q", f"oci-archive:{built}", f"oci:{layout}:1"], check=True)
    docker_archive, oci_archive = archives(layout, base)
    return TeeImage(docker_archive=docker_archive, oci_archive=oci_archive, environment=converter.environment)


@pytest.fixture(scope="module")
def rune(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RuneInstallation.create(tmp_path_factory.mktemp("rune")).rune


@pytest.fixture(scope="module")
def docker(image: TeeImage, rune: Path) -> Iterator[Engine]:
    with running_dockerd(rune, {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}) as engine:
        engine.run("load", "-i", image.docker_archive, check=True)
        yield engine


@pytest.fixture(scope="module")
def ctr(image: TeeImage) -> Iterator[Engine]:
    with running_containerd({"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}) as engine:
        engine.run("images", "import", "--snapshotter", "native", image.oci_archive, check=True)
        yield engine


@pytest.mark.parametrize("runtime", ["runc", "rune"])
@pytest.mark.parametrize("hardened", [False, True], ids=["ordinary", "hardened"])
def test_under_docker(docker: Engine, runtime: str, hardened: bool) -> None:
    options = ["run", "--rm", "-i", "--network", "none", "--runtime", runtime, "-e", "ENCLAVIZE_SIMULATE=1"]
    if hardened:
        options += HARDENED
    done = docker.run(*options, TAG, "sort", "-n", stdin=LINES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(number) for number in range(1, 20_001)]
    assert "protects NOTHING" in done.stderr
    assert docker.run(*options, TAG, "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("trap", ["sud", "seccomp"])
@pytest.mark.parametrize("enclu", ["gate", "trap"])
def test_every_way_to_simulate_works_under_dockers_seccomp_profile(
    docker: Engine, enclu: str, trap: str
) -> None:
    options = [f"-e=ENCLAVIZE_{item}" for item in ("SIMULATE=1", f"ENCLU={enclu}", f"SYSCALL_TRAP={trap}")]
    done = docker.run("run", "--rm", "--network", "none", *HARDENED, *options, TAG, "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_stock_docker_does_not_fall_into_simulation(docker: Engine) -> None:
    done = docker.run("run", "--rm", "--network", "none", TAG, "echo", "hello")
    assert (done.returncode, done.stdout) == (125, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("enclavize: error: /dev/sgx_enclave")
    assert "ENCLAVIZE_SIMULATE=1" in line


@pytest.mark.parametrize("runtime", ["runc", "rune"])
def test_docker_stop_ends_a_program_that_does_not_handle_it(docker: Engine, runtime: str) -> None:
    container = docker.run(
        "run", "-d", "-i", "--network", "none", "--runtime", runtime, "-e", "ENCLAVIZE_SIMULATE=1", TAG,
        "sleep", "1000", check=True,
    ).stdout.strip()  # fmt: skip
    try:
        _wait_for(lambda: "NOTHING" in docker.run("logs", container).stderr)
        start = time.monotonic()
        docker.run("stop", "-t", "60", container, check=True)
        assert time.monotonic() - start < 30
        assert docker.run("wait", container, check=True).stdout.strip() == "143"
    finally:
        docker.run("rm", "-f", container)


def test_a_volume_of_the_image_is_seen_and_another_is_named(docker: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host\n")
    tmp_path.chmod(0o755)
    options = ["run", "--rm", "--network", "none", "-e", "ENCLAVIZE_SIMULATE=1", "-v"]
    done = docker.run(*options, f"{tmp_path}:/data", TAG, "cat", "/data/file")
    assert done.stdout == "of the host\n", done.stderr
    assert "does not see" not in done.stderr
    done = docker.run(*options, f"{tmp_path}:/other", TAG, "cat", "/other/file")
    assert done.returncode == 1
    assert "does not see: /other;" in done.stderr


def test_under_containerd(ctr: Engine, rune: Path, name: str) -> None:
    name_of_image = ctr.run("images", "list", "-q").stdout.split()[0]
    command = [
        "run", "--rm", "--runtime", "io.containerd.runc.v2", "--runc-binary", str(rune),
        "--snapshotter", "native", name_of_image, name, ENTRYPOINT,
    ]  # fmt: skip
    done = ctr.run(*command, "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert ctr.run(*command, "sh", "-c", "exit 7").returncode == 7


def test_under_enclavize_run(image: TeeImage, tmp_path: Path) -> None:
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "enclavize", "run", "--simulate", "-i", *arguments], env=image.environment,
            input=stdin, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    source = f"oci-archive:{image.oci_archive}"
    assert run(source, "sort", "-n", stdin=LINES).stdout.split()[0] == "1"
    assert run(source, "sh", "-c", "exit 7").returncode == 7
    assert run(source, "absent").returncode == 127
    (tmp_path / "file").write_text("of the host\n")
    assert run("-v", f"{tmp_path}:/data", source, "cat", "/data/file").stdout == "of the host\n"
    assert (
        run(source, "sh", "-c", "echo new > /data/file && read line < /data/file && echo $line").stdout
        == "new\n"
    )


def _wait_for(condition: object) -> None:
    assert callable(condition)
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("this took longer than ten seconds")
