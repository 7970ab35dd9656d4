"""rune installed as a wheel installs it, with a runelet that needs no enclave."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from support.programs import busybox, need, need_root
from support.rune import ENTRYPOINT, RuneInstallation, tee_tree, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> RuneInstallation:
    need("runc")
    need_root()
    return RuneInstallation.with_stub(tmp_path_factory.mktemp("rune"))


@pytest.fixture
def ordinary(tmp_path: Path) -> Callable[..., Path]:
    """Make an ordinary bundle with busybox, which runs the given shell command."""

    def make(command: str) -> Path:
        folder = tmp_path / "ordinary"
        (folder / "rootfs" / "bin").mkdir(parents=True, exist_ok=True)
        shutil.copy(busybox(), folder / "rootfs" / "bin" / "busybox")
        return write_bundle(folder, ["/bin/busybox", "sh", "-c", command])

    return make


@pytest.fixture
def tee(tmp_path: Path, installation: RuneInstallation) -> Callable[..., Path]:
    """Make a TEE bundle; the stub PAL does what the arguments say."""

    def make(*arguments: str, entrypoint: str = ENTRYPOINT, environment: tuple[str, ...] = ()) -> Path:
        folder = tmp_path / "tee"
        if not folder.exists():
            tee_tree(folder / "rootfs", installation.runelet)
        return write_bundle(folder, [entrypoint, *arguments], environment)

    return make


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A container's name that no other test has."""
    return f"test-{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**8}"
