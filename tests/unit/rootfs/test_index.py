"""Indexing: what is found in layers, what is refused, and the cache of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError, UsageError
from enclavize.lock import locked
from enclavize.oci import media_types
from enclavize.oci.limits import MAX_RATIO
from enclavize.progress import EventKind, Reporter
from enclavize.rootfs import layer as layer_module
from enclavize.rootfs.index import index_image
from enclavize.rootfs.verity import verity_of
from support.images import (
    Layer,
    Member,
    build_image,
    build_layer,
    directory,
    file,
    hard_link,
    opaque,
    symlink,
    tar_of,
    whiteout,
    write_layout,
)
from support.indexing import cache_of, image_of, index_layers
from support.sample_tree import pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.media_types import Compression
    from enclavize.progress import Event
    from enclavize.rootfs.tree import Rootfs

BASE = [directory("bin"), file("bin/sh", pattern(600_000), 0o755), file("etc/hosts", "127.0.0.1 h\n" * 20)]
TOP = [
    file("run.sh", "#! /bin/sh -e \necho\n"),
    hard_link("bin/ash", "bin/sh", mode=0o755),
    file("s\udcffe", pattern(4097)),
]


PATIENCE = 300


def events_of(action: Callable[[Reporter], object]) -> list[Event]:
    """Return what is reported while something is done."""
    events: list[Event] = []
    action(Reporter(events.append))
    return events


def contents(rootfs: Rootfs) -> list[Any]:
    """Return everything that is known of a tree."""
    return [(entry, rootfs.merkle(entry) if entry.verity else b"") for entry in rootfs.entries]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_files_are_hashed_and_looked_at(tmp_path: Path, compression: Any) -> None:
    rootfs = index_layers(tmp_path, [BASE, TOP], compression)
    shell = rootfs.resolve("bin/ash")
    digest, tree = verity_of(pattern(600_000))
    assert (shell.sha256, shell.verity) == (hashlib.sha256(pattern(600_000)).digest(), digest)
    assert rootfs.merkle(shell) == tree
    assert (shell.data_path, shell.layer) == ("bin/ash", 0)
    assert rootfs.hard_links() == {"bin/ash": ("bin/ash", "bin/sh")}
    assert rootfs.resolve("run.sh").interpreter_line == "/bin/sh -e"
    assert rootfs.resolve("etc/hosts").content == b"127.0.0.1 h\n" * 20
    assert rootfs.resolve("run.sh").content == b"#! /bin/sh -e \necho\n"
    assert shell.content is None
    assert rootfs.resolve("etc").layer == -1
    assert rootfs.merkle(rootfs.resolve("s\udcffe")) == verity_of(pattern(4097))[1]


def test_compression_leaves_no_trace(tmp_path: Path) -> None:
    kinds: tuple[Compression, ...] = ("none", "gzip", "zstd")
    trees = [contents(index_layers(tmp_path / kind, [BASE, TOP], kind)) for kind in kinds]
    assert trees[0] == trees[1] == trees[2]


def test_a_known_layer_is_not_read_again(tmp_path: Path) -> None:
    first = contents(index_layers(tmp_path, [BASE, TOP]))
    for blob in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        if blob.stat().st_size > 4000:
            blob.unlink()
    layout = write_layout(tmp_path / "again" / "layout", {"1": build_image([BASE, TOP], compression="none")})
    image = image_of(tmp_path / "other", [BASE, TOP])
    for blob in (tmp_path / "other" / "layout" / "blobs" / "sha256").iterdir():
        blob.unlink()
    assert layout.exists()
    events = events_of(
        lambda reporter: first == contents(index_image(image, cache=cache_of(tmp_path), reporter=reporter))
    )
    assert sum(event.kind is EventKind.CACHED for event in events) == 2
    assert contents(index_image(image, cache=cache_of(tmp_path), reporter=Reporter())) == first


def test_refresh_reads_again(tmp_path: Path) -> None:
    image = image_of(tmp_path, [BASE])
    for _ in range(2):
        events = events_of(
            lambda reporter: index_image(image, cache=cache_of(tmp_path), reporter=reporter, refresh=True)
        )
        assert not any(event.kind is EventKind.CACHED for event in events)


def index_files(folder: Path) -> list[Path]:
    """Return the stored indexes, and whatever else is beside them but locks."""
    found = (folder / "cache" / "index").iterdir() if (folder / "cache" / "index").exists() else ()
    return [path for path in found if path.suffix != ".lock"]


@pytest.mark.parametrize("where", [0, 5, 20, 40, 64, 70, 300, -1])
def test_a_damaged_index_is_made_again(tmp_path: Path, where: int) -> None:
    first = contents(index_layers(tmp_path, [BASE, TOP]))
    for path in index_files(tmp_path):
        data = bytearray(path.read_bytes())
        data[where] ^= 0x40
        path.write_bytes(data)
    image = image_of(tmp_path / "again", [BASE, TOP])
    events = events_of(lambda reporter: index_image(image, cache=cache_of(tmp_path), reporter=reporter))
    assert not any(event.kind is EventKind.CACHED for event in events)
    assert contents(index_image(image, cache=cache_of(tmp_path), reporter=Reporter())) == first


@pytest.mark.parametrize("parts", [(0, 1), (1, 2), (2, 3), (3, 0)])
@pytest.mark.parametrize("by", [8, -1, 152])
def test_an_index_whose_parts_are_said_to_end_elsewhere_is_made_again(
    parts: tuple[int, int], by: int, tmp_path: Path
) -> None:
    first = contents(index_layers(tmp_path, [BASE]))
    [path] = index_files(tmp_path)
    data = bytearray(path.read_bytes())
    sizes = list(struct.unpack_from("<4Q", data, 16))
    sizes[parts[0]] += by
    sizes[parts[1]] -= by
    struct.pack_into("<4Q", data, 16, *(size & (1 << 64) - 1 for size in sizes))
    path.write_bytes(data)
    image = image_of(tmp_path / "again", [BASE])
    assert contents(index_image(image, cache=cache_of(tmp_path), reporter=Reporter())) == first


@pytest.mark.parametrize("size", [0, 30, 64, 1000])
def test_a_short_index_is_made_again(tmp_path: Path, size: int) -> None:
    first = contents(index_layers(tmp_path, [BASE]))
    for path in index_files(tmp_path):
        os.truncate(path, size)
    image = image_of(tmp_path / "again", [BASE])
    assert contents(index_image(image, cache=cache_of(tmp_path), reporter=Reporter())) == first


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    index_layers(tmp_path, [BASE])
    [path] = index_files(tmp_path)
    left = path.with_name(f".{path.name.split('-')[0]}-abandoned")
    path.rename(left)
    image = image_of(tmp_path / "again", [BASE])
    index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
    assert index_files(tmp_path) == [path]


def test_threads_that_want_the_same_layer_read_it_once(tmp_path: Path) -> None:
    image = image_of(tmp_path, [BASE, BASE, TOP])
    events: list[Event] = []
    reporter = Reporter(events.append)
    trees: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: trees.append(
                contents(index_image(image, cache=cache_of(tmp_path), reporter=reporter))
            )
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trees) == 6
    assert all(tree == trees[0] for tree in trees)
    read = [event for event in events if event.kind is EventKind.DONE and event.name.startswith("index")]
    assert len(read) == 2


HOSTILE: dict[str, tuple[list[Member], str]] = {
    "dot-dot": ([file("a/../../etc/x")], r"a path that leads out of the image: a/\.\./\.\./etc/x"),
    "a long name": ([file("a/" + "n" * 256)], "name of more than 255"),
    "a long path": ([file("/".join(["n" * 200] * 21))], "path of more than 4095"),
    "NUL": ([file("x", pax={"path": "a\0b"})], "pax header with a NUL in 'path'"),
    "a link to nothing": ([hard_link("y", "x")], "/y is a hard link to /x, which does not exist"),
    "a link out": ([hard_link("y", "../../x")], r"/y is a hard link by a path with '\.\.'"),
    "a link with dots inside": ([file("x"), hard_link("y", "a/../x")], r"/y is a hard link by a path with"),
    "a link to a directory": ([directory("d"), hard_link("y", "d")], "hard link to the directory /d"),
    "a link to itself": ([file("x"), hard_link("x", "x")], "which does not exist"),
    "a symlink to nothing": ([symlink("y", "")], "/y .*impossible target"),
    "a long symlink": ([symlink("y", "t" * 5000)], "/y .*impossible target"),
    "a file as parent": ([file("x"), file("x/y")], "/x/y has a parent that is no directory"),
    "a loop as parent": ([symlink("x", "x"), file("x/y")], "too many symbolic links"),
    "a long name through a link": ([symlink("l", "n" * 300), file("l/x")], "name of more than 255"),
    "a long path through links": (
        [symlink("l", "/".join(["n" * 200] * 15)), symlink("l/m", "/".join(["o" * 200] * 15)), file("l/m/x")],
        "the layers together make a path of more than 4095",
    ),
    "a root file": ([file(".")], "/ is no directory"),
    "a whiteout of nothing": ([file("a/.wh.")], "is a whiteout of nothing"),
    "a whiteout of the parent": ([file("a/.wh...")], "is a whiteout of nothing"),
    "a huge owner": ([file("x", pax={"uid": str(2**32 - 1)})], "/x has an impossible owner"),
    "a huge time": ([file("x", pax={"mtime": str(2**62 + 1)})], "/x has an impossible time"),
    "a huge device": ([Member(path="x", type=b"3", device=(5000, 1))], "/x has impossible device numbers"),
    "a huge file": (
        [file("x", pax={"size": str(1 << 60)})],
        "/x brings the files to .* bytes, the layer may have",
    ),
    "an xattr without a name": ([file("x", pax={"SCHILY.xattr.": "v"})], "/x has an xattr"),
}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: name.replace(" ", "-"))
def test_hostile_members_give_one_clear_error(tmp_path: Path, name: str) -> None:
    members, message = HOSTILE[name]
    with pytest.raises(InvalidImageError, match=message) as caught:
        index_layers(tmp_path, [BASE, members])
    assert "layer" in str(caught.value)
    assert all(not path.name.startswith(".") for path in index_files(tmp_path))


def test_a_whiteout_in_the_first_layer_is_no_error(tmp_path: Path) -> None:
    assert len(index_layers(tmp_path, [[whiteout("x"), opaque("")]])) == 1


@pytest.mark.parametrize("size", [1000, 5000, 200_000, -1])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_truncated_layer_is_refused(tmp_path: Path, size: int, compression: Any) -> None:
    whole = build_layer(BASE, compression)
    cut = Layer(blob=whole.blob[:size], media_type=whole.media_type, diff_id=whole.diff_id)
    with pytest.raises((InvalidImageError, IntegrityError), match=r"^layer "):
        index_layers(tmp_path, [cut])
    assert index_files(tmp_path) == []


def test_a_changed_blob_is_named_by_its_digest(tmp_path: Path) -> None:
    image = image_of(tmp_path, [BASE], "gzip")
    blob = tmp_path / "layout" / "blobs" / "sha256" / image.layers[0].digest[7:]
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError, match=image.layers[0].digest):
        index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
    assert index_files(tmp_path) == []


def test_a_wrong_diff_id_is_refused_even_if_the_layer_is_known(tmp_path: Path) -> None:
    index_layers(tmp_path, [BASE])
    whole = build_layer(BASE, "none")
    other = Layer(blob=whole.blob, media_type=whole.media_type, diff_id=build_layer(TOP).diff_id)
    image = image_of(tmp_path / "other", [other])
    with pytest.raises(IntegrityError, match=rf"{whole.diff_id}.*{other.diff_id}"):
        index_image(image, cache=cache_of(tmp_path), reporter=Reporter())


def test_layers_and_diff_ids_must_match(tmp_path: Path) -> None:
    built = build_image([BASE], change_config={"rootfs": {"type": "layers", "diff_ids": []}})
    write_layout(tmp_path / "layout", {"1": built})
    from enclavize.oci.location import parse_location
    from enclavize.oci.resolve import resolve

    with pytest.raises(InvalidImageError):
        index_image(
            resolve(
                parse_location(f"oci:{tmp_path}/layout:1"), cache=cache_of(tmp_path), reporter=Reporter()
            ),
            cache=cache_of(tmp_path),
            reporter=Reporter(),
        )


def bomb(size: int) -> Layer:
    """Return a layer of one file of zeros, with all of its bytes."""
    return build_layer(tar_of([file("zeros", bytes(size))]), "gzip")


def test_a_bomb_is_bounded_by_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCLAVIZE_MAX_LAYER_SIZE", "1000000")
    with pytest.raises(InvalidImageError, match="1000000"):
        index_layers(tmp_path, [bomb(2_000_000)])
    padded = gzip.compress(tar_of([file("x")]) + bytes(2_000_000))
    hidden = Layer(blob=padded, media_type=bomb(1).media_type, diff_id=bomb(1).diff_id)
    with pytest.raises(InvalidImageError, match="more than 1000000 bytes after decompression") as caught:
        index_layers(tmp_path / "hidden", [hidden])
    assert "ENCLAVIZE_MAX_LAYER_SIZE" in (caught.value.hint or "")
    monkeypatch.setenv("ENCLAVIZE_MAX_LAYER_SIZE", "3000000")
    assert index_layers(tmp_path / "allowed", [bomb(2_000_000)]).total_size == 2_000_000
    monkeypatch.setenv("ENCLAVIZE_MAX_LAYER_SIZE", "a lot")
    with pytest.raises(UsageError, match="ENCLAVIZE_MAX_LAYER_SIZE"):
        index_layers(tmp_path / "wrong", [bomb(1)])


def test_the_default_bounds_are_ratio_and_size() -> None:
    assert layer_module.size_limit(1000) == layer_module.RATIO_FREE_SIZE
    assert layer_module.size_limit(100 << 20) == (100 << 20) * MAX_RATIO
    assert layer_module.size_limit(1 << 40) == layer_module.MAX_LAYER_SIZE


def test_the_number_of_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "MAX_ENTRIES", 5)
    with pytest.raises(InvalidImageError, match="more than 5 members"):
        index_layers(tmp_path, [[file(str(number)) for number in range(6)]])


def test_metadata_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "MAX_METADATA_SIZE", 5000)
    with pytest.raises(InvalidImageError, match="more than 5000 bytes of metadata"):
        index_layers(tmp_path, [[file("x", pax={"SCHILY.xattr.user.a": "v" * 5000})]])


def test_a_build_that_waits_for_another_can_be_stopped(tmp_path: Path) -> None:
    image = image_of(tmp_path, [BASE, [file("../x")]])
    folder = tmp_path / "cache" / "index"
    folder.mkdir(parents=True)
    with (
        locked(folder / f"{image.layers[0].digest[7:]}.lock"),
        pytest.raises(InvalidImageError, match="path"),
    ):
        index_image(image, cache=cache_of(tmp_path), reporter=Reporter())


def test_a_build_that_waits_sees_how_far_the_other_one_is(tmp_path: Path) -> None:
    image = image_of(tmp_path, [[file("large", random.Random(1).randbytes(2_000_000))]])
    layer = image.layers[0]
    is_seen, is_half_way = threading.Event(), threading.Event()
    seen: list[Event] = []

    class Slow:
        remote, origin = False, None

        def __getattr__(self, name: str) -> Any:
            return getattr(image.source, name)

        def open_blob(self, descriptor: Descriptor, **_: object) -> BinaryIO:
            blob = image.source.open_blob(descriptor).read()

            class Stream(io.BytesIO):
                def read(self, size: int | None = -1, /) -> bytes:
                    if self.tell() > layer.size // 2:
                        is_half_way.set()
                        assert is_seen.wait(PATIENCE)
                    return super().read(size)

            return Stream(blob)

    def look(event: Event) -> None:
        if event.name.startswith("index layer"):
            seen.append(event)
            if event.current:
                is_seen.set()

    with ThreadPoolExecutor(2) as pool:
        source: Any = Slow()
        slow = replace(image, source=source)
        first = pool.submit(index_image, slow, cache=cache_of(tmp_path), reporter=Reporter())
        assert is_half_way.wait(PATIENCE)
        second = pool.submit(index_image, image, cache=cache_of(tmp_path), reporter=Reporter(look))
        assert first.result(PATIENCE)
        assert second.result(PATIENCE)
    assert 0 < max(event.current for event in seen) <= layer.size
    assert seen[-1].kind is EventKind.CACHED


def test_one_bad_layer_stops_the_others(tmp_path: Path) -> None:
    good = [[file(f"{number}", pattern(10_000))] for number in range(8)]
    before = threading.active_count()
    with pytest.raises(EnclavizeError, match="leads out of the image"):
        index_layers(tmp_path, [*good, [file("../x")]])
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("media_type", "message"),
    [
        (media_types.OCI_LAYER_GZIP, "has no blob sha256:"),
        (media_types.NONDISTRIBUTABLE_LAYER_GZIP, "is not there: its type, .*, lets registries leave it out"),
        (media_types.DOCKER_FOREIGN_LAYER_GZIP, "is not there: its type, .*, lets registries leave it out"),
    ],
)
def test_a_layer_that_is_not_there_is_refused_with_its_reason(
    tmp_path: Path, media_type: str, message: str
) -> None:
    made = replace(build_layer([file("x")]), media_type=media_type)
    image = image_of(tmp_path, [made])
    (tmp_path / "layout" / "blobs" / "sha256" / made.descriptor.digest.removeprefix("sha256:")).unlink()
    with pytest.raises(InvalidImageError, match=message):
        index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
