"""rune installed as a wheel installs it, with a runelet that needs no enclave."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from support.occlum_image import occlum_image, occlum_program
from support.programs import busybox, need, need_root
from support.rune import ENTRYPOINT, RuneInstallation, tee_image, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.occlum_image import OcclumImage
    from support.rune import UnpackedTeeImage


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


@pytest.fixture(scope="session")
def image(installation: RuneInstallation, tmp_path_factory: pytest.TempPathFactory) -> UnpackedTeeImage:
    """Return a TEE image whose program no test runs: the runelet is that of ``installation``."""
    volumes = ("--volume", "/data", "--volume", "/fixed:ro", "--volume", "/folder")
    return tee_image(tmp_path_factory.mktemp("image"), *volumes, runelet=installation.runelet)


@pytest.fixture(scope="session")
def occlum(tmp_path_factory: pytest.TempPathFactory) -> OcclumImage:
    """Build an image of Occlum for simulation, with a trial PAL where Occlum's would be."""
    folder = tmp_path_factory.mktemp("occlum")
    return occlum_image(folder / "image", occlum_program(folder))


@pytest.fixture
def tee(tmp_path: Path, image: UnpackedTeeImage) -> Callable[..., Path]:
    """Make a TEE bundle; the stub PAL does what the arguments say."""

    def make(*arguments: str, entrypoint: str = ENTRYPOINT, environment: tuple[str, ...] = ()) -> Path:
        folder = tmp_path / "tee"
        if not folder.exists():
            folder.mkdir()
            image.copy(folder / "rootfs")
        return write_bundle(folder, [entrypoint, *arguments], environment)

    return make


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A container's name that no other test has."""
    return f"test-{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**8}"
