"""``enclavize occlum sefs``: results on standard output, warnings and errors on standard error."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


def sefs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "enclavize", "occlum", "sefs", *map(str, arguments)]
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
