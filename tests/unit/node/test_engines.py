"""Which engine has started a rune, and what containerd calls a chain of layers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from enclavize.errors import EnclavizeError
from enclavize.node.engines.containerd import ContainerdEngine
from enclavize.node.engines.containerd_images import chain_id
from enclavize.node.engines.docker import DockerEngine
from enclavize.node.engines.peer import EngineSettings, engine_by
from enclavize.node.engines.podman import PodmanEngine

SHIM = "/usr/bin/containerd-shim-runc-v2"

SETTINGS = EngineSettings(docker_host="unix:///docker", fetch_layers=True)


def _exit_words(*words: str) -> str:
    return " ".join(f"--exit-command-arg {word}" for word in words)


A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("parent", "kind", "address", "namespace"),
    [
        (
            f"{SHIM} -namespace k8s.io -id X -address /run/containerd/containerd.sock",
            ContainerdEngine,
            "/run/containerd/containerd.sock",
            "k8s.io",
        ),
        (f"{SHIM} -namespace=k8s.io --address=/s", ContainerdEngine, "/s", "k8s.io"),
        (f"{SHIM} -namespace moby -id X -address /s", DockerEngine, "/s", "moby"),
    ],
)
def test_the_engine_of_a_shim(parent: str, kind: type, address: str, namespace: str) -> None:
    engine = engine_by(parent.split(), SETTINGS)
    assert isinstance(engine, kind)
    members = vars(engine)
    assert vars(members.pop("_images")) == {
        "_address": address,
        "_namespace": namespace,
        "_documents": SETTINGS.documents,
        "_fetches": True,
    }
    assert members == ({"_host": "unix:///docker"} if kind is DockerEngine else {})


@pytest.mark.parametrize(
    ("parent", "members"),
    [
        (
            f"conmon --root /other {_exit_words('--root', '/s', '--storage-driver', 'vfs')}",
            {"_root": Path("/s"), "_driver": "vfs"},
        ),
        ("/usr/bin/conmon -c X", {"_root": Path("/var/lib/containers/storage"), "_driver": "overlay"}),
    ],
)
def test_podman_is_known_by_conmon(parent: str, members: dict[str, object]) -> None:
    engine = engine_by(parent.split(), SETTINGS)
    assert isinstance(engine, PodmanEngine)
    assert vars(engine) == members


@pytest.mark.parametrize("parent", ["", "bash", SHIM, f"{SHIM} -namespace k8s.io", "notconmon", "/bin/crio"])
def test_others_are_refused(parent: str) -> None:
    with pytest.raises(EnclavizeError, match="containerd, docker and podman"):
        engine_by(parent.split(), EngineSettings(docker_host=""))


def test_chains_of_layers() -> None:
    """Names as in image-spec's example of a calculation."""
    assert chain_id([]) == ""
    assert chain_id([A]) == A
    two = chain_id([A, B])
    assert two == "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    assert chain_id([A, B, A]) == "sha256:" + hashlib.sha256(f"{two} {A}".encode()).hexdigest()
