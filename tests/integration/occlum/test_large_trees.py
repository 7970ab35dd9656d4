"""Large trees come back from the root file system of a TEE image, with each form of SEFS's records."""

from __future__ import annotations

import random
import stat
from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import root_files
from support.images import directory, file, symlink
from support.scale import scaled
from support.stand_in_toolchain import stand_in_occlum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter
    from support.images import Member

pytestmark = pytest.mark.integration

FILES = scaled(20_000, least=1_500)
PER_FOLDER = 50
SIZES = (0, 1, 17, 500, 3071, 3072, 3073, 7167, 7168, 7169)
"""Around what the first node of a protected file holds, and its first data node."""
LARGE = (96 * 4096 + 3071, 96 * 4096 + 3073, 97 * 4096 + 3072)
"""Around what the first MHT node holds."""
MODES = (0o644, 0o755, 0o400, 0o777, 0o600)
NAMES = ("plain", "with blanks and ümlauts", "x" * 240)


def large_tree() -> list[Member]:
    """Give folders in folders with files of all sizes, links to them, and some that lead nowhere."""
    drawn = random.Random(15)
    members: list[Member] = [directory("tree")]
    folder = "tree"
    for number in range(FILES):
        if number % PER_FOLDER == 0:
            folder = f"{'tree' if number % 400 == 0 else folder}/{number}"
            members += [
                directory(folder, MODES[number // PER_FOLDER % 2]),
                symlink(f"{folder}/link", f"{NAMES[0]}-{number}" if number % 100 else "/gone"),
            ]
        size = LARGE[number] if number < len(LARGE) else SIZES[number % len(SIZES)]
        name = f"{folder}/{NAMES[number % len(NAMES)]}-{number}"
        members.append(file(name, drawn.randbytes(size), MODES[number % len(MODES)]))
    return members


def told(member: Member) -> tuple[int, object]:
    """Return mode, and content or target."""
    return (0, member.link) if member.link else (member.mode, member.data if member.type == b"0" else None)


def found(path: Path) -> tuple[int, object]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return 0, str(path.readlink())
    return stat.S_IMODE(mode), path.read_bytes() if stat.S_ISREG(mode) else None


@pytest.mark.parametrize(("version", "encrypted"), [("0.22.0", False), ("0.26.3", True), ("0.31.0", True)])
def test_every_file_comes_back(
    converter: Converter, make: Callable[..., str], tmp_path: Path, version: str, *, encrypted: bool
) -> None:
    toolchain = stand_in_occlum(tmp_path / "occlum", version)
    converter.command.run("occlum", "gen-image-key", "image.key")
    key = converter.command.base / "image.key" if encrypted else None
    members = large_tree()
    options = ("--image-key", key) if key else ()
    name = converter.build(make(members), "tee", "--toolchain", toolchain, *options)
    root = root_files(name, tmp_path, key)
    assert {str(path.relative_to(root)) for path in root.glob("tree/**/*")} == {
        member.path for member in members[1:]
    }
    assert [member.path for member in members if found(root / member.path) != told(member)] == []
