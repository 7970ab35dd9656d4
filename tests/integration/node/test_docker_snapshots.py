"""Containers of a dockerd that keeps images in containerd: their roots as dockerd prepares them there.

dockerd puts a snapshot of empty files between the image's layers and the container's (moby,
daemon/containerd/image_snapshot.go).
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.node.engines.containerd_images import ContainerdImages, Snapshot, chain_id, check_root
from enclavize.node.engines.documents import Documents
from enclavize.node.engines.found import AskedContainer
from enclavize.oci.descriptor import Descriptor
from support.engines import running_containerd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.oci.image import Image
    from support.engines import Engine

pytestmark = pytest.mark.integration

NAME = "docker.io/library/ordinary:1"
ROOT = Snapshot(snapshotter="overlayfs", key="container", beneath="container-init")


@pytest.fixture(scope="module")
def containerd(layout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Run a containerd with the image in docker's namespace."""
    pytest.importorskip("grpc", reason="containerd's API needs grpcio")
    archive = tmp_path_factory.mktemp("archive") / "image.tar"
    subprocess.run(["skopeo", "copy", "-q", f"oci:{layout}:1", f"oci-archive:{archive}:{NAME}"], check=True)
    with running_containerd({"PATH": os.environ["PATH"]}) as engine:
        _ctr(engine, "images", "import", archive)
        yield engine


@pytest.fixture(scope="module")
def images(containerd: Engine) -> ContainerdImages:
    return ContainerdImages(f"{containerd.folder}/sock", "moby", documents=Documents())


@pytest.fixture(scope="module")
def image(images: ContainerdImages, layout: Path) -> Iterator[Image]:
    manifest = Descriptor.from_json(json.loads((layout / "index.json").read_text())["manifests"][0])
    with closing(images.connect()) as connection:
        yield images.read(connection, NAME, manifest)


@pytest.fixture(scope="module", autouse=True)
def snapshots(containerd: Engine, image: Image) -> None:
    """Prepare the container as dockerd does, and one that lies on nothing."""
    _ctr(containerd, "snapshots", "prepare", "key", chain_id(image.config.diff_ids))
    _ctr(containerd, "snapshots", "commit", ROOT.beneath, "key")
    _ctr(containerd, "snapshots", "prepare", ROOT.key, ROOT.beneath)
    _ctr(containerd, "snapshots", "prepare", "empty-key", "")
    _ctr(containerd, "snapshots", "commit", "other-init", "empty-key")
    _ctr(containerd, "snapshots", "prepare", "other", "other-init")


def _ctr(engine: Engine, *arguments: str | Path) -> str:
    return engine.run("--namespace", "moby", *arguments, check=True).stdout


@contextmanager
def _mounted(engine: Engine, key: str, folder: Path) -> Iterator[AskedContainer]:
    subprocess.run(_ctr(engine, "snapshots", "mounts", folder, key), shell=True, check=True)
    try:
        yield AskedContainer(id="container", rootfs=folder, pid=os.getpid())
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("root", "mounted", "is_right"),
    [
        (ROOT, "container", True),
        pytest.param(replace(ROOT, beneath=""), "container", False, id="another engine's"),
        pytest.param(replace(ROOT, key="other"), "other", False, id="not dockerd's own"),
        pytest.param(
            replace(ROOT, key="other", beneath="other-init"), "other", False, id="not of the image's layers"
        ),
        pytest.param(ROOT, "other", False, id="another root is mounted"),
    ],
)
def test_the_root_lies_on_the_images_layers(
    containerd: Engine,
    images: ContainerdImages,
    image: Image,
    *,
    tmp_path: Path,
    root: Snapshot,
    mounted: str,
    is_right: bool,
) -> None:
    with _mounted(containerd, mounted, tmp_path) as container, closing(images.connect()) as connection:
        if is_right:
            check_root(connection, root, image, container)
        else:
            with pytest.raises(EnclavizeError, match="is not made of the layers of"):
                check_root(connection, root, image, container)
