"""Small archives that become large: refused when little was written, whatever way they are packed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tarfile
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import pytest
import zstandard

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget
from enclavize.oci.limits import ARCHIVE_FREE_SIZE, MAX_RATIO
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs import layer as layer_module
from enclavize.rootfs.index import index_image
from support.images import build_image, build_layer, file, to_write, write_layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from support.images import BuiltImage

pytestmark = pytest.mark.integration

ZEROS = bytes(8 << 20)
ROUNDS = 8
"""Of ZEROS, in a bomb: twice what is allowed."""


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=19).compress(data)


PACKINGS: dict[str, Callable[[], bytes]] = {
    "one frame of zstd": lambda: zstd(ZEROS * ROUNDS),
    "many frames of zstd": lambda: zstd(ZEROS) * ROUNDS,
    "frames of zstd that are skipped between them": lambda: (
        (zstd(ZEROS) + bytes.fromhex("502a4d1804000000") + b"skip") * ROUNDS
    ),
    "one member of gzip": lambda: gzip.compress(ZEROS * ROUNDS),
    "many members of gzip": lambda: gzip.compress(ZEROS) * ROUNDS,
    "one stream of xz": lambda: lzma.compress(ZEROS * ROUNDS),
    "many streams of xz": lambda: lzma.compress(ZEROS) * ROUNDS,
    "one stream of bzip2": lambda: bz2.compress(ZEROS * ROUNDS),
    "many streams of bzip2": lambda: bz2.compress(ZEROS) * ROUNDS,
    "a large member of a tar archive": lambda: zstd(tar_of({"blobs/sha256/big": ZEROS * ROUNDS})),
    "many members of a tar archive": lambda: zstd(tar_of(dict.fromkeys(map(str, range(ROUNDS)), ZEROS))),
}


def tar_of(files: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()


@pytest.fixture
def written(cache: BlobCache, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return how to ask for the bytes that nameless files of the cache have."""
    descriptors: list[int] = []
    make = cache.spool

    def spool() -> BinaryIO:
        stream = make()
        descriptors.append(os.dup(stream.fileno()))
        return stream

    def sizes() -> int:
        found = sum(os.fstat(descriptor).st_size for descriptor in descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return found

    monkeypatch.setattr(cache, "spool", spool)
    return sizes


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_is_refused_before_the_disk_is_full(
    tmp_path: Path, cache: BlobCache, written: Callable[[], int], packing: str, kind: str
) -> None:
    bomb = tmp_path / "bomb.tar"
    bomb.write_bytes(PACKINGS[packing]())
    assert bomb.stat().st_size * MAX_RATIO < ARCHIVE_FREE_SIZE
    with pytest.raises(InvalidImageError, match="which is too much for its own size"):
        resolve(parse_location(f"{kind}:{bomb}"), cache=cache, reporter=Reporter())
    assert written() <= ARCHIVE_FREE_SIZE


def test_a_bomb_in_a_pipe_or_a_file_with_holes_is_no_larger(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, written: Callable[[], int]
) -> None:
    data = PACKINGS["one frame of zstd"]()
    sparse, pipe = tmp_path / "sparse", tmp_path / "pipe"
    with sparse.open("wb") as output:
        output.write(b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00")  # an empty frame
        output.write(b"\x50\x2a\x4d\x18" + (8 << 20).to_bytes(4, "little"))  # one that is skipped
        output.seek(8 << 20, os.SEEK_CUR)
        output.write(data)
    assert sparse.stat().st_size * MAX_RATIO > len(ZEROS) * ROUNDS
    os.mkfifo(pipe)

    def feed() -> None:
        with pipe.open("wb") as output:
            output.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    for path in (sparse, pipe):
        with pytest.raises(InvalidImageError, match="which is too much for its own size"):
            resolve(parse_location(f"oci-archive:{path}"), cache=cache, reporter=reporter)
    thread.join()
    assert written() <= 2 * ARCHIVE_FREE_SIZE


def archive_of(image: BuiltImage, path: Path, pack: Callable[[bytes], bytes]) -> Path:
    ArchiveTarget(path, ArchiveStyle.DOCKER).deliver(to_write(image, "example.com/app:1"), Reporter())
    path.write_bytes(pack(path.read_bytes()))
    return path


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_archive_may_be_as_compressible_as_a_layer(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, pack: Callable[[bytes], bytes], kind: str
) -> None:
    """Zeros first: what was read of it when they are written does not justify them yet."""
    noise = random.Random(1).randbytes(len(ZEROS) * ROUNDS // (MAX_RATIO - 80))
    image = build_image([[file("zeros", ZEROS * ROUNDS), file("noise", noise)]], compression="none")
    path = archive_of(image, tmp_path / "app.tar", pack)
    assert path.stat().st_size * (MAX_RATIO - 120) < len(ZEROS) * ROUNDS
    found = resolve(parse_location(f"{kind}:{path}"), cache=cache, reporter=reporter)
    assert found.layers[0].size > len(ZEROS) * ROUNDS
    found.source.close()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_a_layer_in_a_compressed_archive_may_not_use_the_ratio_twice(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(layer_module, "RATIO_FREE_SIZE", 1 << 20)
    inner = build_image([[file("zeros", ZEROS * ROUNDS)]], compression="gzip")
    plain = archive_of(inner, tmp_path / "plain.tar", bytes)
    packed = archive_of(inner, tmp_path / "packed.tar.zst", zstd)
    size = inner.layers[0].descriptor.size
    assert packed.stat().st_size < size // 4
    found = resolve(parse_location(f"{kind}:{packed}"), cache=cache, reporter=reporter)
    assert found.stored_size(found.layers[0]) == packed.stat().st_size
    with pytest.raises(InvalidImageError, match=f"the layer may have {1 << 20}"):
        index_image(found, cache=cache, reporter=reporter)
    found.source.close()
    monkeypatch.setattr(layer_module, "MAX_RATIO", 2000)
    found = resolve(parse_location(f"{kind}:{plain}"), cache=cache, reporter=reporter)
    assert found.stored_size(found.layers[0]) == size
    index_image(found, cache=cache, reporter=reporter)
    found.source.close()


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_a_layer_that_claims_to_be_large_is_not_unpacked(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The limit of what it may become counts from the size that the manifest says."""
    layer = build_layer([file("zeros", ZEROS)])
    honest = build_image([layer])
    lie = honest.manifest_bytes.replace(f'"size": {len(layer.blob)}'.encode(), f'"size": {1 << 33}'.encode())
    assert lie != honest.manifest_bytes
    layout = write_layout(tmp_path / "layout", {"1": replace(honest, manifest_bytes=lie)})
    name = f"oci:{layout}:1"
    if kind == "oci-archive":
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            archive.add(layout, ".")
        name = f"oci-archive:{tmp_path / 'a.tar'}:1"
    found = resolve(parse_location(name), cache=cache, reporter=reporter)
    monkeypatch.setattr("enclavize.rootfs.index.scan_layer", lambda *_args, **_options: pytest.fail("read"))
    with pytest.raises(IntegrityError, match=f"ends after {len(layer.blob)} of {1 << 33} bytes"):
        index_image(found, cache=cache, reporter=reporter)
    found.source.close()
