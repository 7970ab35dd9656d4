"""Ordinary images under podman, whose storage is read by its files."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.guest import ORDINARY
from support.node import measured

if TYPE_CHECKING:
    from pathlib import Path

    from support.engines import Engine
    from support.node import Node

pytestmark = pytest.mark.integration


def _flags(node: Node) -> tuple[str, ...]:
    """conmon hands no environment on."""
    words = ("simulate", f"config={node.folder / 'config.toml'}", f"node-socket={node.socket}")
    return tuple(part for word in words for part in ("--runtime-flag", word))


def _run(engine: Engine, node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return engine.run(*_flags(node), "run", "--rm", "--network", "none", "--runtime", "rune", *arguments)


def test_an_ordinary_image_runs_in_an_enclave_whose_measurement_others_can_tell(
    podman: Engine, node: Node, layout: Path, tmp_path: Path
) -> None:
    done = _run(podman, node, "-e", "TAKEN=1", "-e", "OTHER=2", ORDINARY, "id", "x y")
    assert done.returncode == 0, done.stderr
    assert "argument x y" in done.stdout
    assert "variable TAKEN=1" in done.stdout
    assert "OTHER" not in done.stdout
    conversion = node.status()["conversions"][0]
    assert conversion["mrenclave"] == measured(f"oci:{layout}:1", node.rules, tmp_path)
    assert conversion["image"]["name"] == ORDINARY
    assert not node.leftovers()


def test_what_a_user_says_about_a_container_chooses_no_rule(podman: Engine, node: Node) -> None:
    """Labels of rules are the image's, namespaces are what CRI says, and podman has none."""
    wide = '[match]\n{}\n[policy]\nallow-args = true\nallow-env = ["MORE"]\n'
    rules = {
        "10-label.toml": wide.format('label = { tier = "db" }'),
        "20-namespace.toml": wide.format('namespace = ["shop"]'),
    }
    for name, text in rules.items():
        (node.rules / name).write_text(text)
    try:
        options = ("--label", "tier=db", "--annotation", "io.kubernetes.cri.sandbox-namespace=shop")
        done = _run(podman, node, *options, "-e", "MORE=1", "-e", "TAKEN=1", ORDINARY, "id")
        assert "variable TAKEN=1" in done.stdout, done.stderr
        assert "MORE" not in done.stdout
        assert {item["rule"] for item in node.status()["conversions"]} == {"50-all.toml"}
    finally:
        for name in rules:
            (node.rules / name).unlink()


def test_other_programs_are_refused(podman: Engine, node: Node) -> None:
    done = _run(podman, node, "--entrypoint", "/bin/other", ORDINARY)
    assert done.returncode != 0
    assert "told to run [/bin/other], the enclave runs" in done.stderr


def test_a_name_that_has_moved_is_refused(podman: Engine, node: Node, layout: Path, tmp_path: Path) -> None:
    other, archive = tmp_path / "other", tmp_path / "image.tar"
    subprocess.run(["cp", "-r", layout, other], check=True)
    change = ["umoci", "config", "--image", f"{other}:1", "--config.user", "7:7"]
    subprocess.run(change, check=True, capture_output=True)
    copy = ["skopeo", "copy", "-q", f"oci:{other}:1", f"oci-archive:{archive}:{ORDINARY}"]
    subprocess.run(copy, check=True)
    create = ("create", "--name", "moved", "--network", "none", "--runtime", "rune", ORDINARY, "exit", "5")
    podman.run(*_flags(node), *create, check=True)
    podman.run("load", "-q", "-i", archive, check=True)
    done = podman.run(*_flags(node), "start", "-a", "moved")
    assert done.returncode != 0
    assert "the name has moved" in done.stderr
    podman.run("rm", "moved")
    assert "uid=7" in _run(podman, node, ORDINARY, "id").stdout
