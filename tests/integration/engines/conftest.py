"""Engines that have one program in an ordinary image and in TEE images."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.cri import remove_control_groups
from support.engines import need_podman_to_run, podman_storage, running_cri, running_dockerd
from support.guest import ORDINARY, guest_layouts
from support.programs import need, need_root
from support.rune import RuneInstallation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.engines import Engine

Factory = pytest.TempPathFactory


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    need("umoci", "skopeo", "runc")
    need_root()
    return guest_layouts(tmp_path_factory.mktemp("engine-images"))


@pytest.fixture(scope="session")
def rune(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an installed rune."""
    return RuneInstallation.create(tmp_path_factory.mktemp("installed")).rune


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}


@pytest.fixture(scope="module")
def docker(
    layouts: dict[str, Path],
    rune: Path,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """Run a dockerd that has the images."""
    with running_dockerd(rune, environment) as engine:
        for name, layout in layouts.items():
            archive = tmp_path_factory.mktemp("docker") / "image.tar"
            _copy(layout, f"docker-archive:{archive}:{name}")
            engine.run("load", "-i", archive, check=True)
        yield engine


@pytest.fixture(scope="module")
def containerd(
    layouts: dict[str, Path],
    rune: Path,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """Run a containerd with Kubernetes' interface that has the images; sandboxes run the ordinary one."""
    with running_cri(rune, ORDINARY, environment) as engine:
        for name, layout in layouts.items():
            archive = tmp_path_factory.mktemp("containerd") / "image.tar"
            _copy(layout, f"oci-archive:{archive}:{name}")
            command = ("--namespace", "k8s.io", "images", "import", "--snapshotter", "native", archive)
            engine.run(*command, check=True)
        yield engine
    remove_control_groups()


@pytest.fixture(scope="module")
def podman(layouts: dict[str, Path], rune: Path, tmp_path_factory: Factory) -> Iterator[Engine]:
    """Return a podman that has the images."""
    with podman_storage(rune) as engine:
        for name, layout in layouts.items():
            archive = tmp_path_factory.mktemp("podman") / "image.tar"
            _copy(layout, f"docker-archive:{archive}:{name}")
            engine.run("load", "-q", "-i", archive, check=True)
        need_podman_to_run(engine, ORDINARY)
        yield engine


def _copy(layout: Path, target: str) -> None:
    subprocess.run(["skopeo", "copy", "-q", f"oci:{layout}:1", target], check=True)
