"""A node: a signing service, the daemon that asks it, and an installed rune."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.cri import Cri, remove_control_groups
from support.engines import import_for_kubernetes, need_podman_to_run, podman_storage, running_cri
from support.guest import ORDINARY, ordinary_guest
from support.node import running_node
from support.programs import need, need_root
from support.rune import RuneInstallation
from support.signing_service import running_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cri import Pod
    from support.engines import Engine
    from support.node import Node
    from support.signing_service import Service


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a layout with an ordinary image, which has the tag 1."""
    need("umoci", "skopeo", "runc")
    need_root()
    return ordinary_guest(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def rune(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RuneInstallation.create(tmp_path_factory.mktemp("installed")).rune


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a signing service, with a client for the node."""
    pytest.importorskip("uvicorn", reason="the signing service needs uvicorn")
    with running_service(tmp_path_factory.mktemp("service"), {"node": {}}) as running:
        yield running


@pytest.fixture(scope="module")
def node(service: Service) -> Iterator[Node]:
    """Run the daemon."""
    need_root()
    signer = (
        "--signer", service.url, "--signer-token-file", service.folder / "node.token",
        "--signer-ca", service.ca,
    )  # fmt: skip
    with running_node(signer) as running:
        yield running


@pytest.fixture(scope="module")
def environment(node: Node) -> dict[str, str]:
    """What engines are started with."""
    return {"PATH": os.environ["PATH"], **node.variables}


@pytest.fixture(scope="module")
def podman(layout: Path, rune: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give podman a storage with the ordinary image."""
    with podman_storage(rune) as engine:
        archive = tmp_path_factory.mktemp("podman") / "image.tar"
        copy = ["skopeo", "copy", "-q", f"oci:{layout}:1", f"oci-archive:{archive}:{ORDINARY}"]
        subprocess.run(copy, check=True)
        engine.run("load", "-q", "-i", archive, check=True)
        need_podman_to_run(engine, ORDINARY)
        yield engine


@pytest.fixture(scope="module")
def containerd(layout: Path, rune: Path, environment: dict[str, str]) -> Iterator[Engine]:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    with running_cri(rune, ORDINARY, environment) as engine:
        import_for_kubernetes(engine, layout, ORDINARY)
        yield engine
    remove_control_groups()


@pytest.fixture(scope="module")
def cri(containerd: Engine) -> Cri:
    return Cri(containerd.command[-1])


@pytest.fixture
def pods(cri: Cri) -> Iterator[Callable[..., Pod]]:
    """Return what makes a pod of the handler rune; it is removed in the end."""
    made: list[Pod] = []
    with tempfile.TemporaryDirectory(prefix="cri-logs-") as folder:

        def pod(**annotations: str) -> Pod:
            names = {name.replace("_", "."): value for name, value in annotations.items()}
            made.append(cri.pod("rune", Path(folder) / str(len(made)), names))
            return made[-1]

        yield pod
        for item in made:
            cri.remove(item.id)


@pytest.fixture
def pod(pods: Callable[..., Pod]) -> Pod:
    return pods()
