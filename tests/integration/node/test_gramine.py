"""Ordinary images become enclaves of the node's Gramine: a real one with ENCLAVIZE_GRAMINE_TOOLCHAIN."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from enclavize.signing.keys import generate_key
from support.guest import ORDINARY
from support.node import measured, running_node
from support.programs import need_root
from support.stand_in_toolchain import GRAMINE_VARIABLE, gramine_toolchain, stand_in_gramine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from support.engines import Engine
    from support.node import Node

pytestmark = pytest.mark.integration

RULE = """libos = "gramine"
toolchain = "{toolchain}"
production = false
force = ["OCC008", "OCC009"]
[policy]
allow-args = true
"""
SETTINGS = "allow_unchecked_host_files = true\n"


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gramine_toolchain(tmp_path_factory.mktemp("gramine") / "prefix")


@pytest.fixture
def node(toolchain: Path, tmp_path: Path) -> Iterator[Node]:
    need_root()
    generate_key(tmp_path / "key.pem")
    with running_node(("--key", tmp_path / "key.pem")) as running:
        running.prepare(RULE.format(toolchain=toolchain), SETTINGS)
        yield running


def _run(engine: Engine, node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = ("simulate", f"config={node.folder / 'config.toml'}", f"node-socket={node.socket}")
    flags = tuple(part for word in words for part in ("--runtime-flag", word))
    return engine.run(*flags, "run", "--rm", "--network", "none", "--runtime", "rune", ORDINARY, *arguments)


def test_an_image_runs_in_the_nodes_gramine(podman: Engine, node: Node, layout: Path, tmp_path: Path) -> None:
    done = _run(podman, node, "id", "x y")
    assert done.returncode == 0, done.stderr
    assert "x y" in done.stdout
    (conversion,) = node.status()["conversions"]
    assert conversion["libos"]["name"] == "gramine"
    assert conversion["mrenclave"] == measured(f"oci:{layout}:1", node.rules, tmp_path)
    assert _run(podman, node, "id").returncode == 0
    assert node.status()["converted"] == 1
    assert not node.leftovers()


@pytest.mark.skipif(GRAMINE_VARIABLE in os.environ, reason="a real installation is not changed")
def test_a_toolchain_that_has_changed_is_opened_again(podman: Engine, node: Node, tmp_path: Path) -> None:
    prefix = tmp_path / "changing"
    stand_in_gramine(prefix)
    rule = RULE.format(toolchain=prefix)
    node.prepare(rule, SETTINGS)
    assert _run(podman, node, "id").returncode == 0
    first = node.status()["conversions"][0]["mrenclave"]
    shutil.rmtree(prefix)
    stand_in_gramine(prefix, run_path="/elsewhere")
    node.prepare(f"isvsvn = 1\n{rule}", SETTINGS)
    done = _run(podman, node, "id")
    assert done.returncode != 0
    assert "has changed" in done.stderr
    assert not node.leftovers()
    assert _run(podman, node, "id").returncode == 0
    assert {item["mrenclave"] for item in node.status()["conversions"]} != {first}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"gramine"', '"auto"'), "asks for auto: nodes convert for builtin, gramine, occlum"),
        (("toolchain = ", 'toolchain = "/nowhere"\n#'), "there is no such folder"),
    ],
)
def test_what_the_node_has_not_is_refused(
    podman: Engine, node: Node, toolchain: Path, change: tuple[str, str], message: str
) -> None:
    node.prepare(RULE.format(toolchain=toolchain).replace(*change), SETTINGS)
    done = _run(podman, node, "id")
    assert done.returncode != 0
    assert message in done.stderr
    assert not node.status()["conversions"]
