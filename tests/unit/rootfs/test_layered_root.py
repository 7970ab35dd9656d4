"""Roots whose files stay in their layers: the index says where each is, and the host has what it needs."""

from __future__ import annotations

import stat
import struct
import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IntegrityError
from enclavize.oci.pruning import LAYERS, ItemKind, cached_items, prune
from enclavize.progress import Reporter
from enclavize.rootfs import data_index
from enclavize.rootfs.index import index_image
from enclavize.rootfs.layered_root import make_layered_root
from support.images import Member, directory, file, hard_link, opaque, symlink, whiteout
from support.indexing import cache_of, image_of
from support.sample_tree import pattern

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from enclavize.oci.image import Image

SPARSE = {"GNU.sparse.size": "5000", "GNU.sparse.numblocks": "2", "GNU.sparse.map": "10,3,4000,5"}
LAYERS_OF_IMAGE = [
    [
        directory("bin"), file("bin/sh", pattern(100_000), 0o6755),
        hard_link("bin/ash", "bin/sh", mode=0o6755),
        file("gone", pattern(500)), directory("o"), file("o/1", pattern(501)), file("small", "x" * 64),
        file("holes", b"abcdefgh", pax=SPARSE), symlink("var", "real"), directory("real"),
        directory("real/a"),
        file("real/a/data", pattern(70_000)), symlink("real/a/up", "../../bin"), symlink("circle", "circle"),
        file("own/enclave.json", pattern(300)), file("own/deep/x", "y"), file("a-b", pattern(100)),
        directory("a"), file("a/b", pattern(101)), Member(path="real/pipe", type=b"6"),
    ],
    [
        whiteout("gone"), opaque("o"), file("o/2", pattern(502)),
        hard_link("real/linked", "bin/sh", mode=0o6755),
        file("s\udcff", pattern(99)), file("more-holes", b"12345678", pax=SPARSE), file("empty", b""),
    ],
]  # fmt: skip


def make(image: Image, folder: Path, needed: Iterable[str] = ()) -> Path:
    """Make a root and return where it is."""
    destination = folder / "unpacked" / "abc"
    make_layered_root(
        image, destination, layers=".layers", folder="own", needed=lambda _root: needed,
        cache=cache_of(folder), reporter=Reporter(),
    )  # fmt: skip
    return destination


def read(root: Path) -> dict[bytes, bytes]:
    """Read all files of an index as its format says."""
    folder = root / ".layers"
    index = (folder / "index").read_bytes()
    magic, count = struct.unpack_from("<16sQ", index)
    assert magic == b"enclavize data 1"
    found = {}
    for number in range(count):
        path, offset, size, layer, path_size, unused = struct.unpack_from("<QQQIHH", index, 24 + 32 * number)
        assert unused == 0
        content = (folder / str(layer)).read_bytes()[offset : offset + size]
        assert len(content) == size
        found[index[path : path + path_size]] = content
    assert list(found) == sorted(found)
    return found


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_every_file_is_where_the_index_says(tmp_path: Path, compression: object) -> None:
    root = make(image_of(tmp_path, LAYERS_OF_IMAGE, compression), tmp_path)  # type: ignore[arg-type]
    with_holes = bytes(10) + b"abc".ljust(3990, b"\0") + b"defgh".ljust(1000, b"\0")
    other = bytes(10) + b"123".ljust(3990, b"\0") + b"45678".ljust(1000, b"\0")
    assert read(root) == {
        b"a-b": pattern(100), b"a/b": pattern(101), b"bin/ash": pattern(100_000), b"holes": with_holes,
        b"more-holes": other, b"o/2": pattern(502), b"own/enclave.json": pattern(300),
        b"real/a/data": pattern(70_000), b"s\xff": pattern(99),
    }  # fmt: skip


def test_the_native_index_is_that_of_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if data_index._native() is None:
        pytest.skip("the native part is not built, or not for this processor")
    random = Random(5)
    names = [f"{random.choice('abc')}{random.choice(('/', '-', '.'))}{number}" for number in range(300)]
    layer = [file(name, pattern(random.randrange(200))) for name in names]
    image = image_of(tmp_path, [*LAYERS_OF_IMAGE, layer])
    entries = index_image(image, cache=cache_of(tmp_path), reporter=Reporter()).entries
    with (tmp_path / "native").open("wb") as native:
        assert data_index.write_data_index(entries, len(image.layers), native)
    monkeypatch.setattr(data_index, "_native", lambda: None)
    with (tmp_path / "reference").open("wb") as reference:
        assert data_index.write_data_index(entries, len(image.layers), reference)
    assert (tmp_path / "native").read_bytes() == (tmp_path / "reference").read_bytes()


def test_the_host_has_what_it_needs_and_the_links_that_lead_there(tmp_path: Path) -> None:
    needed = ["var/a/up/sh", "holes", "real/linked", "circle/x", "missing/too", "var/a/data/no-folder"]
    root = make(image_of(tmp_path, LAYERS_OF_IMAGE, "gzip"), tmp_path, needed)
    found = {str(path.relative_to(root)) for path in root.rglob("*")} - {".layers"}
    assert {path for path in found if not path.startswith(".layers/")} == {
        "own", "own/enclave.json", "own/deep", "own/deep/x", "var", "real", "real/a", "real/a/up", "bin",
        "bin/sh", "holes", "real/linked",
    }  # fmt: skip
    assert (root / "var" / "a" / "up" / "sh").read_bytes() == pattern(100_000)
    assert (root / "real" / "linked").read_bytes() == pattern(100_000)
    assert (root / "holes").stat().st_size == 5000
    assert not (root / "bin" / "sh").stat().st_mode & (stat.S_ISUID | stat.S_ISGID)


def test_a_folder_is_there_with_all_below(tmp_path: Path) -> None:
    root = make(image_of(tmp_path, LAYERS_OF_IMAGE), tmp_path, ["var"])
    assert (root / "real" / "a" / "data").read_bytes() == pattern(70_000)
    assert (root / "real" / "linked").read_bytes() == pattern(100_000)
    assert not (root / "real" / "pipe").exists()
    assert str((root / "real" / "a" / "up").readlink()) == "../../bin"


def test_threads_make_one(tmp_path: Path) -> None:
    image = image_of(tmp_path, LAYERS_OF_IMAGE, "gzip")
    inodes: set[int] = set()
    threads = [
        threading.Thread(target=lambda: inodes.add(make(image, tmp_path).stat().st_ino)) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inodes) == 1


def test_a_damaged_layer_leaves_nothing(tmp_path: Path) -> None:
    image = image_of(tmp_path, LAYERS_OF_IMAGE)
    index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
    blob = tmp_path / "layout" / "blobs" / "sha256" / image.layers[0].digest[7:]
    data = bytearray(blob.read_bytes())
    data[50_000] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError):
        make(image, tmp_path)
    assert [path.name for path in (tmp_path / "unpacked").iterdir()] == ["abc.lock"]
    assert [path for path in (cache_of(tmp_path).root / LAYERS).iterdir() if path.suffix != ".lock"] == []


def test_layers_are_kept_once_and_as_long_as_an_image_has_them(tmp_path: Path) -> None:
    image = image_of(tmp_path, LAYERS_OF_IMAGE, "gzip")
    root = make(image, tmp_path)
    cache = cache_of(tmp_path)
    kept = [path for path in (cache.root / LAYERS).iterdir() if path.suffix != ".lock"]
    assert {path.stat().st_ino for path in kept} == {
        (root / ".layers" / str(number)).stat().st_ino for number in range(2)
    }
    items = [item for item in cached_items(cache) if item.kind in {ItemKind.LAYER, ItemKind.UNPACKED}]
    assert [item.kind for item in items] == [ItemKind.UNPACKED, ItemKind.LAYER, ItemKind.LAYER]
    removed, left = prune(cache)
    assert {item.kind for item in removed} >= {ItemKind.UNPACKED, ItemKind.LAYER}
    assert [item for item in left if item.kind is ItemKind.LAYER] == []
