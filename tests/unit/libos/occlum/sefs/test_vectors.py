"""Images and protected files are those that Occlum's own code writes."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import IntegrityError
from enclavize.libos.occlum.sefs.keys import notation
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.protection import Encrypted, IntegrityOnly
from enclavize.libos.occlum.sefs.reader import ProtectedFile
from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.libos.occlum.sefs.tree import TreeNode, root_node, scan, symlink
from enclavize.libos.occlum.sefs.unpack import verify
from enclavize.libos.occlum.sefs.writer import ProtectedFileWriter
from support.vectors import VECTORS

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

SEFS = VECTORS / "sefs"
INDEX: dict[str, Any] = json.loads((SEFS / "vectors.json").read_text())
IMAGES = [pytest.param(case, id=case["name"]) for case in INDEX["images"]]
PLAIN = [pytest.param(case, id=case["name"][:16]) for case in INDEX["integrity_only_files"]]
ENCRYPTED = [pytest.param(case, id=case["label"]) for case in INDEX["encrypted_files"]]


@cache
def maketree() -> ModuleType:
    """The program among the vectors that knows the rules for contents."""
    spec = importlib.util.spec_from_file_location("sefs_maketree", SEFS.parent / "maketree.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree_of(spec: dict[str, Any]) -> TreeNode:
    """Return a specification's tree; what is on no disk needs no privileges."""
    root = root_node()
    folders = {"": root}
    for entry in maketree().expand(spec):
        folder, _, name = entry["path"].rpartition("/")
        match entry["type"]:
            case "file":
                data = entry["data"]
                node = TreeNode(
                    name=name.encode(),
                    type=InodeType.FILE,
                    mode=entry["mode"],
                    size=len(data),
                    open=partial(io.BytesIO, data),
                )
            case "dir":
                node = TreeNode(name=name.encode(), type=InodeType.DIRECTORY, mode=entry["mode"])
                folders[entry["path"]] = node
            case "symlink":
                node = symlink(name.encode(), entry["target"].encode())
            case _:
                continue
        folders[folder].children.append(node)
    return root


def listing(image: Path) -> list[str]:
    lines = []
    for path in sorted(image.iterdir()):
        data = path.read_bytes()
        lines.append(f"{hashlib.sha256(data).hexdigest()} {len(data)} {path.name}")
    return lines


@pytest.mark.parametrize("case", IMAGES)
def test_an_image_is_identical_to_occlums(case: dict[str, Any], tmp_path: Path) -> None:
    spec = json.loads((SEFS / case["spec"]).read_text())
    packed = pack(tree_of(spec), tmp_path / "image")
    assert notation(packed.root_mac) == case["root_mac"]
    assert listing(tmp_path / "image") == (SEFS / case["expected"]).read_text().splitlines()
    assert packed.inodes == case["files"] - 1
    found = verify(tmp_path / "image", root_mac=packed.root_mac)
    assert (found.inodes, found.size) == (packed.inodes, packed.size)


@pytest.mark.parametrize("name", ["sizes", "special_dropped"])
def test_a_folder_gives_the_same_image(name: str, tmp_path: Path) -> None:
    case = next(case for case in INDEX["images"] if case["name"] == name)
    maketree().make(json.loads((SEFS / case["spec"]).read_text()), tmp_path / "tree")
    skipped: list[str] = []
    packed = pack(scan(tmp_path / "tree", skip=skipped.append), tmp_path / "image")
    assert notation(packed.root_mac) == case["root_mac"]
    assert listing(tmp_path / "image") == (SEFS / case["expected"]).read_text().splitlines()
    assert ["FIFO" in line for line in skipped] == [True] * (name == "special_dropped")


@pytest.mark.parametrize("case", PLAIN)
def test_a_single_protected_file_is_identical(case: dict[str, Any]) -> None:
    data = maketree().content(case["content"])
    output = io.BytesIO()
    mac = ProtectedFileWriter(IntegrityOnly()).write(
        output, case["name"].encode(), io.BytesIO(data), len(data)
    )
    assert notation(mac) == case["mac"]
    assert hashlib.sha256(output.getvalue()).hexdigest() == case["sha256"]


@pytest.mark.parametrize("case", ENCRYPTED)
def test_an_encrypted_file_of_occlums_decrypts(case: dict[str, Any]) -> None:
    with (SEFS / case["file"]).open("rb", 0) as stream:
        name = case["file_name_inside"].encode()
        file = ProtectedFile(stream, name, Encrypted(bytes.fromhex(case["user_key"])))
        assert notation(file.mac) == case["mac"]
        assert file.size == case["plain_size"]
        assert hashlib.sha256(file.content()).hexdigest() == case["plain_sha256"]


@pytest.mark.parametrize("case", ENCRYPTED)
def test_another_key_or_name_is_refused(case: dict[str, Any]) -> None:
    key = bytes.fromhex(case["user_key"])
    name = case["file_name_inside"].encode()
    for wrong_key, wrong_name in ((bytes(15) + b"\1", name), (key, name + b"x")):
        with (SEFS / case["file"]).open("rb", 0) as stream, pytest.raises(IntegrityError):
            ProtectedFile(stream, wrong_name, Encrypted(wrong_key))


def test_a_changed_byte_of_an_encrypted_file_is_found(tmp_path: Path) -> None:
    case = next(case for case in INDEX["encrypted_files"] if case["label"] == "medium")
    data = (SEFS / case["file"]).read_bytes()
    key = bytes.fromhex(case["user_key"])
    copy = tmp_path / "metadata"
    for position in (0, 10, 77, 95, 3486, 4096, 8191, 8192, len(data) - 1):
        copy.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with copy.open("rb", 0) as stream, pytest.raises(IntegrityError):
            ProtectedFile(stream, b"metadata", Encrypted(key)).content()
