"""``enclavize occlum sefs``: results on standard output, warnings and errors on standard error."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.structures import PERMISSIONS, InodeType
from enclavize.libos.occlum.sefs.tree import TreeNode, root_node
from support.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


UNPRIVILEGED = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
"""Before a command: takes from root what other users lack."""


def sefs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*UNPRIVILEGED, sys.executable, "-m", "enclavize", "occlum", "sefs", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=60)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/bin").mkdir(parents=True)
    (tmp_path / "tree/bin/tool").write_bytes(bytes(9000))
    return tmp_path / "tree"


def test_an_image_is_packed_verified_and_unpacked(tree: Path, tmp_path: Path) -> None:
    packed = sefs("pack", tree, tmp_path / "image")
    mac = packed.stdout.strip()
    assert packed.returncode == 0
    assert len(mac) == 47
    assert "does not stop a determined host" in packed.stderr
    assert sefs("verify", tmp_path / "image", "--root-mac", mac).stdout == packed.stdout
    unpacked = sefs("unpack", tmp_path / "image", tmp_path / "copy", "--root-mac", mac)
    assert unpacked.stdout == packed.stdout
    assert (tmp_path / "copy/bin/tool").read_bytes() == bytes(9000)


def test_folders_without_permissions_are_unpacked_by_any_user(tmp_path: Path) -> None:
    root = root_node()
    closed = TreeNode(name=b"closed", type=InodeType.DIRECTORY, mode=0)
    closed.children.append(TreeNode(name=b"inner", type=InodeType.DIRECTORY, mode=0))
    root.children.append(closed)
    pack(root, tmp_path / "image")
    assert sefs("unpack", tmp_path / "image", tmp_path / "copy").returncode == 0
    assert (tmp_path / "copy/closed").stat().st_mode & PERMISSIONS == 0
    (tmp_path / "copy/closed").chmod(0o700)
    assert (tmp_path / "copy/closed/inner").stat().st_mode & PERMISSIONS == 0
    (tmp_path / "copy/closed/inner").chmod(0o700)


def test_an_encrypted_image_wants_its_key(tree: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-ff\n")
    key.chmod(0o600)
    packed = sefs("pack", tree, tmp_path / "image", "--key-file", key)
    assert packed.returncode == 0
    assert "WARNING" not in packed.stderr
    assert sefs("verify", tmp_path / "image", "--key-file", key).stdout == packed.stdout
    refused = sefs("unpack", tmp_path / "image", tmp_path / "copy")
    assert refused.returncode == 1
    assert "the file is encrypted\nhint: give the key" in refused.stderr
    assert refused.stdout == ""
    assert not (tmp_path / "copy").exists()


def test_a_changed_image_is_an_error(tree: Path, tmp_path: Path) -> None:
    sefs("pack", tree, tmp_path / "image")
    path = tmp_path / "image/04000000000000000000000000000000"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    refused = sefs("verify", tmp_path / "image")
    assert refused.returncode == 1
    assert f"{path.name}: a node differs from its authentication tag" in refused.stderr
    assert "Traceback" not in refused.stderr
