"""The docker daemon: a private one, with its own socket and data folder."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.oci.daemon import DaemonTarget
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from support.images import build_image, file, plain_tar, to_write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Reporter
    from support.images import BuiltImage

pytestmark = pytest.mark.integration

START_TIMEOUT = 30


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run dockerd; gives the value for DOCKER_HOST."""
    program = shutil.which("dockerd")
    if not program or os.geteuid() != 0:
        pytest.skip("dockerd is not installed, or this is not root")
    folder = tmp_path_factory.mktemp("dockerd")
    host = f"unix://{folder}/docker.sock"
    options = [
        f"--host={host}", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log)
    try:
        end = time.monotonic() + START_TIMEOUT
        while not (folder / "docker.sock").exists() or not _answers(host):
            if process.poll() is not None or time.monotonic() > end:
                last = (folder / "log").read_text().splitlines()[-1:]
                pytest.skip(f"dockerd does not start here: {last}")
            time.sleep(0.1)
        yield host
    finally:
        process.terminate()
        process.wait()


def _answers(host: str) -> bool:
    return subprocess.run(["docker", "-H", host, "version"], capture_output=True, check=False).returncode == 0


def docker(host: str, *arguments: str) -> str:
    """Run the docker command line."""
    command = ["docker", "-H", host, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_what_was_loaded_is_there_and_can_be_read_again(
    dockerd: str, image: BuiltImage, cache: BlobCache, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", dockerd)
    DaemonTarget().deliver(to_write(image, "demo/app:1", "demo/app:2"), reporter)
    assert "demo/app" in docker(dockerd, "image", "ls")
    identity = docker(dockerd, "image", "inspect", "-f", "{{.Id}}", "demo/app:2").strip()
    found = resolve(parse_location("docker-daemon:demo/app:1"), cache=cache, reporter=reporter)
    assert found.config.diff_ids == tuple(layer.diff_id for layer in image.layers)
    assert found.config.cmd == ("/bin/true",)
    assert identity.startswith("sha256:")
    for descriptor, layer in zip(found.layers, image.layers, strict=True):
        with fetch_blob(found, descriptor, cache) as stream:
            assert stream.read() == plain_tar(layer)
    found.source.close()


def test_an_image_that_is_not_there_is_told(
    dockerd: str, cache: BlobCache, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", dockerd)
    with pytest.raises(EnclavizeError, match="no such image"):
        resolve(parse_location("docker-daemon:no/such:1"), cache=cache, reporter=reporter)


def test_what_docker_cannot_load_is_an_error(
    dockerd: str, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", dockerd)
    broken = build_image([[file("a")]], change_config={"rootfs": {"type": "layers", "diff_ids": []}})
    with pytest.raises(EnclavizeError, match="docker"):
        DaemonTarget().deliver(to_write(broken, "demo/broken:1"), reporter)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # docker-py 7.2 does not close a socket that failed
def test_no_daemon_is_told(
    cache: BlobCache, reporter: Reporter, monkeypatch: pytest.MonkeyPatch, image: BuiltImage
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(EnclavizeError, match="cannot talk to the docker daemon"):
        resolve(parse_location("docker-daemon:alpine"), cache=cache, reporter=reporter)
    with pytest.raises(EnclavizeError, match="cannot talk to the docker daemon"):
        DaemonTarget().deliver(to_write(image, "demo/app:1"), reporter)
    gc.collect()
