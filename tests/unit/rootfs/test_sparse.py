"""Files with holes, as GNU tar and bsdtar write them: content, places of what follows, and bounds."""

from __future__ import annotations

import hashlib
import json
import subprocess
from random import Random
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import InvalidImageError
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.oci.tar_files import open_archive
from enclavize.progress import Reporter
from enclavize.rootfs import layer as layer_module
from enclavize.rootfs import tar
from support.images import build_layer, file
from support.indexing import cache_of, index_layers
from support.odd_tars import header, old_sparse, padded, pax
from support.programs import need

if TYPE_CHECKING:
    from pathlib import Path

WRITERS = {
    "pax 0.0": ("tar", "--format=posix", "--sparse", "--sparse-version=0.0"),
    "pax 0.1": ("tar", "--format=posix", "--sparse", "--sparse-version=0.1"),
    "pax 1.0": ("tar", "--format=posix", "--sparse", "--sparse-version=1.0"),
    "bsdtar": ("bsdtar", "--format=pax"),
    "old GNU": ("tar", "--format=gnu", "--sparse"),
}


def with_holes(path: Path, random: Random, extents: int) -> None:
    """Write a file of data and holes in turns."""
    with path.open("wb") as output:
        for _ in range(extents):
            output.seek(random.randrange(1, 40) << 12, 1)
            output.write(random.randbytes(random.randrange(1, 9000)))
        output.truncate(output.tell() + random.choice((0, 1, 5000, 1 << 20)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of such files, and one ordinary file behind them."""
    random = Random(7)
    made = tmp_path / "made"
    made.mkdir()
    for number, extents in enumerate((0, 1, 2, 5, 40, 200)):
        with_holes(made / f"sparse-{number}", random, extents)
    (made / ("n" * 120)).write_bytes((made / "sparse-2").read_bytes())
    (made / "whole").write_bytes(b"1")
    return made


def written(folder: Path, writer: str) -> bytes:
    need(WRITERS[writer][0])
    names = sorted(path.name for path in folder.iterdir())
    return subprocess.run(
        [*WRITERS[writer], "-C", folder, "-cf", "-", *names], check=True, capture_output=True
    ).stdout


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("piece", [100, 70_000, 1 << 30])
def test_holes_are_filled(folder: Path, writer: str, piece: int) -> None:
    data = written(folder, writer)
    reader = tar.TarReader(iter([data[at : at + piece] for at in range(0, len(data), piece)]), "it")
    found = {}
    for member in reader:
        pieces = [bytes(part) for part in reader.pieces()]
        assert not pieces or len(pieces[0]) >= min(tar.HEAD_SIZE, member.size)
        assert sum(map(len, pieces)) == member.size
        found[member.name.decode()] = b"".join(pieces)
    assert found == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_not_read_is_skipped(folder: Path, writer: str) -> None:
    reader = tar.TarReader(iter([written(folder, writer)]), "it")
    sizes = {}
    for member in reader:
        sizes[member.name.decode()] = member.size
        if member.name == b"sparse-3":
            next(reader.pieces())
    assert sizes == {path.name: path.stat().st_size for path in folder.iterdir()}


@pytest.mark.parametrize("writer", [writer for writer in WRITERS if writer != "old GNU"])
def test_layers_may_have_them(tmp_path: Path, folder: Path, writer: str) -> None:
    rootfs = index_layers(tmp_path, [build_layer(written(folder, writer))])
    for path in folder.iterdir():
        entry = rootfs.get(path.name)
        assert entry is not None
        assert entry.sha256 == hashlib.sha256(path.read_bytes()).digest()
        assert entry.size == path.stat().st_size


def test_layers_have_none_that_no_engine_unpacks(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InvalidImageError, match="sparse-0 is a sparse file in GNU's old format, which no"):
        index_layers(tmp_path, [build_layer(written(folder, "old GNU"))])


def test_holes_count_as_what_a_layer_becomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "RATIO_FREE_SIZE", 1 << 20)
    hole = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"600000"))
    x, y = (pax(*hole) + header(name, b"0", 512) + padded(b"0\n") for name in (b"x", b"y"))
    assert index_layers(tmp_path / "1", [build_layer(x)]).get("x")
    with pytest.raises(InvalidImageError, match="/y brings the files to 1200000 bytes"):
        index_layers(tmp_path / "2", [build_layer(x + y)])


@pytest.mark.parametrize("writer", WRITERS)
def test_members_of_image_archives_may_have_them(tmp_path: Path, writer: str) -> None:
    """A plain layer in a docker archive that ``tar --sparse`` wrote again."""
    need(WRITERS[writer][0])
    layer = build_layer([file("zeros", bytes(3 << 20) + b"end"), file("more", bytes(1 << 20))], "none")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    }
    folder = tmp_path / "archive"
    folder.mkdir()
    with (folder / "layer.tar").open("wb") as output:
        for at in range(0, len(layer.blob), 4096):
            block = layer.blob[at : at + 4096]
            if any(block):
                output.seek(at)
                output.write(block)
        output.truncate(len(layer.blob))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "manifest.json").write_text(json.dumps([{"Config": "config.json", "Layers": ["layer.tar"]}]))
    archive = tmp_path / "image.tar"
    archive.write_bytes(written(folder, writer))
    assert archive.stat().st_size < 1 << 20
    image = resolve(
        parse_location(f"docker-archive:{archive}"), cache=cache_of(tmp_path), reporter=Reporter()
    )
    with image.source.open_blob(image.layers[0]) as stream:
        assert stream.read() == layer.blob
    image.source.close()
    files = open_archive(archive, cache_of(tmp_path))
    with files.open("layer.tar") as stream:
        for at in (0, 600, len(layer.blob) // 2, len(layer.blob) - 20):
            stream.seek(at)
            assert stream.read(5000) == layer.blob[at : at + 5000]
    files.close()


def test_a_small_archive_has_no_huge_holes(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(old_sparse(size=1 << 32) + bytes(1024))
    with pytest.raises(InvalidImageError, match="x has too large holes"):
        resolve(parse_location(f"docker-archive:{path}"), cache=cache_of(tmp_path), reporter=Reporter())


def test_a_map_is_bounded() -> None:
    lines = b"300000\n" + b"1\n" * 600_001
    member = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1"))
    data = member + header(b"x", b"0", len(lines)) + lines
    with pytest.raises(InvalidImageError, match="map has more than"):
        list(tar.TarReader(iter([data]), "it"))
