"""Images are packed from their layers, in the order in which files come, without being unpacked."""

from __future__ import annotations

import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.libos.occlum.image_tree import ImageTree
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.tree import scan
from enclavize.libos.occlum.sefs.unpack import unpack
from enclavize.libos.occlum.tree_builder import data_file
from enclavize.progress import Reporter
from enclavize.rootfs.index import index_image
from support.images import Member, directory, file, hard_link, symlink, whiteout
from support.indexing import cache_of, image_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enclavize.libos.occlum.sefs.pack import Packed

LAYERS = [
    [
        file("z", "last in the tree, first in the layer"),
        directory("d", 0o750), file("d/a", "a" * 5000, 0o640),
        hard_link("twin", "d/a", mode=0o640), file("gone", "x"), file("changed", "old"), symlink("s", "d/a"),
        Member(path="node", type=tarfile.CHRTYPE, device=(1, 3)), file("su", "x", 0o4755),
    ],
    [whiteout("gone"), file("changed", "new"), file("empty"), hard_link("again", "z")],
]  # fmt: skip


def tree_of(folder: Path, layers: Sequence[Sequence[Member]]) -> tuple[ImageTree, list[str]]:
    """Return the tree of an image, and what was said about it."""
    image = image_of(folder, layers)
    said: list[str] = []
    rootfs = index_image(image, cache=cache_of(folder), reporter=Reporter())
    return ImageTree(rootfs, image, said.append), said


def packed(folder: Path, tree: ImageTree, key: bytes | None = None) -> Packed:
    """Pack it into ``folder``/sefs."""
    root = tree.root()
    return pack(root, folder / "sefs", key=key, stream=tree.contents(cache_of(folder), Reporter()))


@pytest.mark.parametrize("key", [None, bytes(range(16))], ids=["integrity only", "encrypted"])
def test_what_is_packed_is_the_merged_tree(tmp_path: Path, key: bytes | None) -> None:
    tree, said = tree_of(tmp_path, LAYERS)
    packed(tmp_path, tree, key)
    unpack(tmp_path / "sefs", tmp_path / "out", key=key)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "again", "changed", "d", "empty", "s", "su", "twin", "z",
    ]  # fmt: skip
    assert (out / "changed").read_text() == "new"
    assert (out / "twin").read_text() == (out / "d" / "a").read_text() == "a" * 5000
    assert (out / "again").read_text() == (out / "z").read_text()
    assert (out / "d" / "a").stat().st_mode & 0o7777 == 0o640
    assert (out / "su").stat().st_mode & 0o7777 == 0o755
    assert said == [
        "devices and FIFOs are left out: /node",
        "setuid and setgid bits are lost: /su",
    ]


def test_the_order_of_the_layers_changes_nothing(tmp_path: Path) -> None:
    tree, _ = tree_of(tmp_path, LAYERS)
    streamed = packed(tmp_path, tree)
    unpack(tmp_path / "sefs", tmp_path / "out")
    assert pack(scan(tmp_path / "out"), tmp_path / "again") == streamed
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / "sefs" / path.name).read_bytes()


@pytest.mark.parametrize("replaced", [b"d/a", b"twin"])
def test_a_hard_link_survives_what_is_laid_over_the_other_name(tmp_path: Path, replaced: bytes) -> None:
    tree, _ = tree_of(tmp_path, LAYERS)
    tree.builder.put(replaced, data_file(b"laid over"))
    packed(tmp_path, tree)
    unpack(tmp_path / "sefs", tmp_path / "out")
    contents = {name: (tmp_path / "out" / name).read_text() for name in ("d/a", "twin")}
    assert contents.pop(replaced.decode()) == "laid over"
    assert list(contents.values()) == ["a" * 5000]


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    large = [file(f"f{number}", bytes(4 << 20)) for number in range(12)]
    tree, _ = tree_of(tmp_path, [large])
    del large
    tracemalloc.start()
    try:
        packed(tmp_path, tree)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_a_layer_that_is_damaged_leaves_no_image(tmp_path: Path) -> None:
    tree, _ = tree_of(tmp_path, LAYERS)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file() and path.stat().st_size > 8000:
            data = bytearray(path.read_bytes())
            data[600] ^= 1
            path.chmod(0o600)
            path.write_bytes(data)
    for path in (tmp_path / "layout").rglob("*"):
        if path.is_file() and path.stat().st_size > 8000:
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(EnclavizeError):
        packed(tmp_path, tree)
    assert not (tmp_path / "sefs").exists()
