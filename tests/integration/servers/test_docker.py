"""An entrypoint that steps down, under docker: it gives a volume away; exec; a stop that is an end."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from integration.servers.ingredients import ENVIRONMENT, SMALL, layers
from integration.servers.places import PATIENCE, free_port
from support.engines import TAG, archives, running_dockerd
from support.images import build_image, write_layout
from support.programs import need, need_root
from support.rune import RuneInstallation
from support.tee import Converter

if TYPE_CHECKING:
    from pathlib import Path

    from support.engines import Engine

pytestmark = pytest.mark.integration


def _image(base: Path, port: int) -> Path:
    """Return the TEE image as an archive for ``docker load``."""
    ping = ["redis-cli", "-p", str(port), "ping"]
    image = build_image(
        layers(SMALL),
        config={
            "Entrypoint": ["tini", "--", "redis.sh"], "Cmd": ["redis-server", "--port", str(port)],
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()], "WorkingDir": "/data",
            "Healthcheck": {"Test": ["CMD", *ping], "Interval": 10**9, "Retries": 60},
        },
    )  # fmt: skip
    converter, built, layout = Converter.create(base), base / "tee.tar", base / "tee"
    write_layout(base / "source", {"1": image})
    converter.run(
        "build", f"oci:{base / 'source'}:1", "-t", TAG, "--key", str(converter.key),
        "--volume", "/data", "--allow-network", "all",
        "--allow-exec", f"redis-cli -p {port} save", "-o", f"type=oci,dest={built}",
    )  # fmt: skip
    subprocess.run(["skopeo", "copy", "-q", f"oci-archive:{built}", f"oci:{layout}:1"], check=True)
    return archives(layout, base)[0]


def _comes(docker: Engine, container: str, wanted: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        state = json.loads(docker.run("inspect", container, check=True).stdout)[0]["State"]
        if state["Health"]["Status"] == wanted:
            return
        assert state["Running"], docker.run("logs", container).stderr
        assert time.monotonic() < end, state
        time.sleep(0.2)


def test_redis_under_docker(tmp_path: Path) -> None:
    need("skopeo", "runc", "dockerd")
    need_root()
    port, data = free_port(), tmp_path / "data"
    data.mkdir()
    rune = RuneInstallation.create(tmp_path)
    archive = _image(tmp_path, port)
    with running_dockerd(rune.rune, {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}) as docker:
        docker.run("load", "-i", archive, check=True)
        run = ("run", "-d", "--runtime", "rune", "--network", "host", "-v", f"{data}:/data", TAG)
        container = docker.run(*run, check=True).stdout.strip()
        try:
            _comes(docker, container, "healthy")
            done = docker.run("exec", container, "redis-cli", "-p", str(port), "save")
            assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
            assert docker.run("exec", container, "redis-cli", "-p", str(port), "flushall").returncode == 126
            assert (data.stat().st_uid, (data / "dump.rdb").stat().st_uid) == (100, 100)
            docker.run("stop", "-t", str(PATIENCE), container, check=True)
            state = json.loads(docker.run("inspect", container, check=True).stdout)[0]["State"]
            assert state["ExitCode"] == 0, docker.run("logs", container).stderr
        finally:
            docker.run("rm", "-f", container)
