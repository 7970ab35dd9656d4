"""Ordinary images become enclaves of the node's Occlum; the PAL of tests/native is where Occlum's would be.

That is for all but what a real Occlum does inside: ENCLAVIZE_OCCLUM_TOOLCHAIN has no part in it.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import generate_key
from support.foreign_pal import trial_pal
from support.node import measured, running_node
from support.occlum_image import digest_of, occlum_program, pal_list
from support.programs import need_root
from support.stand_in_toolchain import OCCLUM_VERSION, stand_in_occlum
from support.tee import ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.engines import Engine
    from support.node import Node

pytestmark = pytest.mark.integration

NAME = "docker.io/library/occlum-app:1"
RULE = """libos = "occlum"
toolchain = "{toolchain}"
production = false
[occlum]
sgx-mode = "SIM"
"""


@pytest.fixture(scope="module")
def layout_of_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a layout whose image names its program without a path."""
    base = tmp_path_factory.mktemp("app")
    (base / "rootfs" / "bin").mkdir(parents=True)
    program = base / "rootfs" / "bin" / "app"
    program.write_bytes(occlum_program(base))
    program.chmod(0o755)
    config = ("--config.entrypoint", "app", "--config.cmd", "show", "--config.env", "PATH=/bin")
    ordinary_image(base / "layout", base / "rootfs", config=config)
    return base / "layout"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    need_root()
    folder = tmp_path_factory.mktemp("node")
    toolchain = stand_in_occlum(folder / "occlum")
    pal = toolchain / "build" / "lib" / f"libocclum-pal_sim.so.{OCCLUM_VERSION}"
    trial_pal(pal, 2, "-DWAIT_STATUS", "-DAS_OCCLUM")
    (folder / "pals.toml").write_text(pal_list(pal, digest_of(pal)))
    generate_key(folder / "key.pem")
    with running_node(("--key", folder / "key.pem")) as running:
        settings = f'pals = ["{folder / "pals.toml"}"]\npal_copies = "{folder / "copies"}"\n'
        running.prepare(RULE.format(toolchain=toolchain), settings)
        yield running


@pytest.fixture(scope="module")
def engine(podman: Engine, layout_of_app: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    archive = tmp_path_factory.mktemp("archive") / "image.tar"
    copy = ["skopeo", "copy", "-q", f"oci:{layout_of_app}:1", f"oci-archive:{archive}:{NAME}"]
    subprocess.run(copy, check=True)
    podman.run("load", "-q", "-i", archive, check=True)
    return podman


def _run(engine: Engine, node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = ("simulate", f"config={node.folder / 'config.toml'}", f"node-socket={node.socket}")
    flags = tuple(part for word in words for part in ("--runtime-flag", word))
    return engine.run(*flags, "run", "--rm", "--network", "none", "--runtime", "rune", *arguments)


def test_an_image_runs_in_the_nodes_occlum(
    engine: Engine, node: Node, layout_of_app: Path, tmp_path: Path
) -> None:
    env = ("-e", "OCCLUM_RELEASE_ENCLAVE=0", "-e", "OCCLUM_LOG_LEVEL=trace")
    for _ in range(2):
        done = _run(engine, node, *env, NAME, "exit", "7")
        assert done.returncode == 7, done.stderr
        assert "path /bin/app\nargument /bin/app\nargument exit\nargument 7\n" in done.stdout
        lines = done.stdout.splitlines()
        of_pal = [line for line in lines if line.startswith("environment OCCLUM_")]
        assert of_pal == ["environment OCCLUM_RELEASE_ENCLAVE=1"]
    status = node.status()
    (conversion,) = status["conversions"]
    assert conversion["libos"]["name"] == "occlum"
    assert conversion["mrenclave"] == measured(f"oci:{layout_of_app}:1", node.rules, tmp_path)
    assert status["converted"] == 1
    assert not node.leftovers()


def test_containers_write_to_folders_of_their_own(engine: Engine, node: Node) -> None:
    """What one writes below ``/.enclave`` is neither in the tree nor in the next container, and goes."""
    assert _run(engine, node, NAME, "exit", "0").returncode == 0
    (tree,) = (node.folder / "cache" / "trees").iterdir()
    before = _content(tree / ".enclave")
    for path in ("build/mount/__ROOT/metadata", "build/another", "run/another"):
        done = _run(engine, node, NAME, "write", f"/.enclave/instance/{path}")
        assert done.returncode == 0, done.stderr
    assert _content(tree / ".enclave") == before
    assert _run(engine, node, NAME, "exit", "7").returncode == 7
    for _ in range(100):  # podman may remove the container after it has ended
        if not tree.exists():
            break
        node.run("forget", "--all")
    assert not tree.exists()


def _content(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_other_programs_are_refused(engine: Engine, node: Node) -> None:
    done = _run(engine, node, "--entrypoint", "/bin/other", NAME)
    assert done.returncode != 0
    assert "told to run [/bin/other], the enclave runs [/bin/app show]" in done.stderr


def test_pods_for_inclavare_run(engine: Engine, node: Node) -> None:
    env = [
        "RUNE_CARRIER=occlum", "ENCLAVE_TYPE=intelSgx", "ENCLAVE_RUNTIME_ARGS=./",
        "ENCLAVE_RUNTIME_PATH=/opt/occlum/build/lib/libocclum-pal.so",
    ]  # fmt: skip
    options = [part for item in env for part in ("-e", item)]
    done = _run(engine, node, *options, "--workdir", "/bin", NAME, "exit", "3")
    assert done.returncode == 3, done.stderr
    assert "ENCLAVE_" not in done.stdout
    assert "RUNE_CARRIER" not in done.stdout
    refused = _run(engine, node, *options, "-e", "ENCLAVE_RUNTIME_PATH=/evil.so", NAME, "exit", "3")
    assert "enclave.runtime.path '/evil.so'" in refused.stderr
