"""Containers with an enclave, and commands for it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.commands import FEW_THREADS, HEALTH, THREADS, Container, Trees, probe_image
from support.programs import need, need_root
from support.rune import ENTRYPOINT, RuneInstallation, write_bundle
from support.strictness import BUNDLE_ENVIRONMENT
from support.tee import Converter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.tee import TeeTree


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    need("umoci", "skopeo", "runc", "musl-gcc")
    need_root()
    base = tmp_path_factory.mktemp("exec-images")
    converter = Converter.create(base)
    plain, healthy = base / "plain", base / "healthy"
    plain.mkdir()
    healthy.mkdir()
    source = probe_image(plain, {})
    checked = probe_image(
        healthy, {"Healthcheck": {"Test": ["CMD", *HEALTH], "Interval": 10**9, "Retries": 1}}
    )
    threads = ("--set", f"threads={THREADS}")
    return Trees(
        open=converter.tree(source, "open", "--allow-exec", "--volume", "/data", *threads),
        few=converter.tree(source, "few", "--allow-exec", "--set", f"threads={FEW_THREADS}"),
        strict=converter.tree(
            checked, "strict", "--allow-exec", "/probe show 'a  b' ''", "--allow-env", "B", *threads
        ),
        closed=converter.tree(source, "closed"),
    )


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> RuneInstallation:
    return RuneInstallation.create(tmp_path_factory.mktemp("exec-rune"))


@pytest.fixture
def run(
    installation: RuneInstallation, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Container]]:
    """Start a container with the program ``hold``; ``change`` may change its configuration."""
    made: list[tuple[str, subprocess.Popen[bytes]]] = []
    environment = {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}
    state = tmp_path / "state"

    def start(tree: TeeTree, change: Callable[[dict[str, Any]], None] | None = None) -> Container:
        name = f"exec-{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**8}-{len(made)}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rootfs").symlink_to(tree.root)
        write_bundle(folder, [ENTRYPOINT])
        spec = json.loads((folder / "config.json").read_text())
        spec["process"].update(cwd="/work", capabilities={})
        spec["process"]["env"] = [*spec["process"].get("env", ()), *BUNDLE_ENVIRONMENT]
        spec["root"]["path"] = str(tree.root)
        if change:
            change(spec)
        (folder / "config.json").write_text(json.dumps(spec))
        pid_file = folder / "pid"
        process = subprocess.Popen(
            [installation.rune, "--root", state, "run", "--bundle", folder, "--pid-file", pid_file, name],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        made.append((name, process))
        assert process.stdout is not None
        assert process.stderr is not None
        ready = process.stdout.readline()
        assert ready == b"ready\n", process.stderr.read()
        for _ in range(1000):  # runc writes it when the program runs already
            if pid_file.exists() and pid_file.read_text():
                break
            time.sleep(0.005)
        return Container(rune=installation.rune, state=state, name=name, pid=int(pid_file.read_text()))

    yield start
    for name, process in made:
        subprocess.run(["runc", "--root", state, "delete", "--force", name], capture_output=True, check=False)
        process.kill()
        process.communicate()
