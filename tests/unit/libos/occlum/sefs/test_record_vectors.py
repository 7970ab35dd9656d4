"""The records of each form are those that the code of Occlum's releases writes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.protection import IntegrityOnly
from enclavize.libos.occlum.sefs.reader import ProtectedFile
from enclavize.libos.occlum.sefs.structures import BLOCK_SIZE, FREE_MAP, GROUP_BLOCKS, METADATA, ROOT
from enclavize.libos.occlum.versions import parse_release
from unit.libos.occlum.sefs.test_vectors import INDEX, SEFS, tree_of

if TYPE_CHECKING:
    from pathlib import Path

FORMS: dict[str, Any] = json.loads((SEFS / "records.json").read_text())["forms"]
MAC = 16
"""Bytes of the MAC, which is the last field of an inode."""


def content(path: Path) -> bytes:
    with path.open("rb", buffering=0) as stream:
        return bytes(ProtectedFile(stream, path.name.encode(), IntegrityOnly()).content())


def without_macs(metadata: bytes, inode_size: int) -> bytes:
    """Return ``metadata`` with zeros for MACs, and without those at its end."""
    plain = bytearray(metadata.ljust(-(-len(metadata) // BLOCK_SIZE) * BLOCK_SIZE, b"\0"))
    for block in range(ROOT, len(plain) // BLOCK_SIZE):
        if block % GROUP_BLOCKS != FREE_MAP:
            end = block * BLOCK_SIZE + inode_size
            plain[end - MAC : end] = bytes(MAC)
    return bytes(plain).rstrip(b"\0")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", INDEX["images"], ids=lambda case: case["name"])
def test_the_records_are_identical_to_occlums(case: dict[str, Any], form: str, tmp_path: Path) -> None:
    records = parse_release(FORMS[form]["release"]).sefs_records
    image = tmp_path / "image"
    pack(tree_of(json.loads((SEFS / case["spec"]).read_text())), image, records=records)
    metadata = without_macs(content(image / METADATA), records.inode.size)
    others = sorted(path for path in image.iterdir() if path.name != METADATA)
    listing = "".join(f"{hashlib.sha256(content(path)).hexdigest()}  {path.name}\n" for path in others)
    assert {
        "metadata": hashlib.sha256(metadata).hexdigest(),
        "files": hashlib.sha256(listing.encode()).hexdigest(),
    } == FORMS[form]["images"][case["name"]]
