"""The servers in two places: in a chroot of their image, and in its enclave."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.servers.ingredients import ALL, ENVIRONMENT, SETTINGS, layers
from integration.servers.places import Place
from support.images import build_image, plain_tar, write_layout
from support.programs import need, need_root
from support.tee import Converter, TeeTree

if TYPE_CHECKING:
    from pathlib import Path

_NATIVELY = """
    mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/dev" && mkdir -m 1777 "$1/dev/shm"
    mknod -m 666 "$1/dev/null" c 1 3 && mknod -m 666 "$1/dev/zero" c 1 5
    mknod -m 666 "$1/dev/urandom" c 1 9 && mknod -m 666 "$1/dev/tty" c 5 0
    ln -s /proc/self/fd "$1/dev/fd" && ln -s fd/1 "$1/dev/stdout" && ln -s fd/2 "$1/dev/stderr"
    exec chroot "$@"
"""
"""The first process of a namespace, with devices and a /proc of its own: it cannot reach the machine's."""


def _converted(base: Path) -> TeeTree:
    environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    image = build_image(layers(ALL), config={"Cmd": ["/bin/bash"], "Env": environment})
    write_layout(base / "layout", {"1": image})
    allowed = [option for name in SETTINGS for option in ("--allow-env", name)]
    Converter.create(base).run(
        "build", f"oci:{base / 'layout'}:1", "-o", f"type=local,dest={base / 'tree'}", "--debug",
        "--allow-args", *allowed, "--volume", "/data", "--allow-network", "all",
        "--set", "memory=2G", "--set", "threads=128",
    )  # fmt: skip
    return TeeTree(root=base / "tree")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Place]:
    need("unshare")
    need_root()
    base = tmp_path_factory.mktemp("servers")
    tree = _converted(base)
    rootfs = base / "rootfs"
    for folder in ("proc", "dev", "data"):
        (rootfs / folder).mkdir(parents=True)
    rootfs.chmod(0o755)
    for layer in layers(ALL):
        subprocess.run(["tar", "-x", "-C", rootfs], input=plain_tar(layer), check=True)
    (tree.root / "data").mkdir(exist_ok=True)
    for name in ("native", "enclave"):
        (base / name).mkdir()
    native = Place(
        name="native", data=rootfs / "data", logs=base / "native",
        command=(
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _NATIVELY, "sh", str(rootfs)
        ),
        environment=dict(ENVIRONMENT),
    )  # fmt: skip
    enclave = Place(
        name="enclave", data=tree.root / "data", logs=base / "enclave",
        command=(str(tree.root / ".enclave" / "bin" / "runelet"),),
        environment={
            "ENCLAVIZE_ROOT": str(tree.root), "ENCLAVIZE_INSTANCE": str(tree.instance),
            "ENCLAVIZE_SIMULATE": "1", "PATH": os.environ["PATH"],
        },
    )  # fmt: skip
    return native, enclave


@pytest.fixture(params=["native", "enclave"])
def place(request: pytest.FixtureRequest, places: tuple[Place, Place]) -> Place:
    """Each of both: a test that passes in one has to pass in the other."""
    return places[["native", "enclave"].index(request.param)]
