"""Layouts and archives, both ways, and against skopeo and umoci."""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import zstandard

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError
from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.layout import LayoutTarget
from enclavize.oci.limits import MAX_INDEX_DEPTH
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from support.images import (
    build_image,
    build_index,
    file,
    plain_tar,
    to_write,
    write_docker_archive,
    write_layout,
    write_oci_archive,
)

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from support.images import (
        BuiltImage,
    )

pytestmark = pytest.mark.integration


def skopeo_copy(source: str, destination: str) -> None:
    """Copy with the reference tool."""
    subprocess.run(
        ["skopeo", "copy", "-q", "--insecure-policy", source, destination], check=True, timeout=120
    )


def check(
    location: str, image: BuiltImage, cache: BlobCache, reporter: Reporter, *, exact: bool = True
) -> None:
    """Read an image; ``exact`` compares manifest and blobs, else what the layers unpack to."""
    found = resolve(parse_location(location), cache=cache, reporter=reporter)
    try:
        assert found.config_bytes == image.config_bytes
        if exact:
            assert found.manifest_bytes == image.manifest_bytes
        for descriptor, layer in zip(found.layers, image.layers, strict=True):
            with fetch_blob(found, descriptor, cache) as stream:
                assert stream.read() == (layer.blob if exact else plain_tar(layer))
    finally:
        found.source.close()


def read_all(location: str, cache: BlobCache, reporter: Reporter) -> Image:
    """Read every layer of an image."""
    found = resolve(parse_location(location), cache=cache, reporter=reporter)
    try:
        for descriptor in found.layers:
            with fetch_blob(found, descriptor, cache) as stream:
                stream.read()
    finally:
        found.source.close()
    return found


@pytest.mark.parametrize("tag", ["", ":1"])
def test_a_layout_is_read(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter, tag: str
) -> None:
    layout = write_layout(tmp_path / "layout", {"1": image})
    check(f"oci:{layout}{tag}", image, cache, reporter)
    assert not cache.root.exists()  # local blobs are read where they are


def test_a_layout_of_several_images_wants_a_tag(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    other = build_image([[file("other")]])
    layout = write_layout(tmp_path / "layout", {"1": image, "2": other})
    check(f"oci:{layout}:2", other, cache, reporter)
    with pytest.raises(InvalidImageError, match="2 images to choose from") as caught:
        read_all(f"oci:{layout}", cache, reporter)
    assert caught.value.hint == "it has the tags: 1, 2"
    with pytest.raises(InvalidImageError, match="no image with the tag 3"):
        read_all(f"oci:{layout}:3", cache, reporter)


def test_a_layout_with_an_index_gives_the_image_for_amd64(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    arm64 = build_image([[file("arm")]], platform=("linux", "arm64"))
    index = build_index([build_index([arm64, image], attestations=True)])
    layout = write_layout(tmp_path / "layout", {"1": index})
    check(f"oci:{layout}", image, cache, reporter)


def test_indexes_that_are_nested_too_deep_are_refused(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    index = build_index([image])
    for _ in range(MAX_INDEX_DEPTH):
        index = build_index([index])
    layout = write_layout(tmp_path / "layout", {"1": index})
    with pytest.raises(InvalidImageError, match="nested more than"):
        read_all(f"oci:{layout}", cache, reporter)


def test_an_index_that_lies_about_what_it_lists_is_refused(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    inner = build_index([image])
    lying = replace(image, manifest_bytes=inner.index_bytes)
    index = build_index([lying])
    layout = write_layout(tmp_path / "layout", {"1": replace(index, blobs={**index.blobs, **inner.blobs})})
    with pytest.raises(InvalidImageError, match="is not what its index says"):
        read_all(f"oci:{layout}", cache, reporter)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"os": "windows"}, "has no image for linux/amd64"),
        ({"rootfs": {"type": "layers", "diff_ids": []}}, "lists 0"),
        ({"config": {"Env": "text"}}, "'Env' is not"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, change: dict[str, object], message: str
) -> None:
    layout = write_layout(tmp_path / "layout", {"1": build_image([[file("a")]], change_config=change)})
    with pytest.raises(InvalidImageError, match=message):
        read_all(f"oci:{layout}", cache, reporter)


def test_a_layout_that_we_write_is_read_by_skopeo_and_back(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    descriptor = LayoutTarget(ours, "1").deliver(to_write(image), reporter)
    assert descriptor == image.descriptor
    skopeo_copy(f"oci:{ours}:1", f"oci:{theirs}:2")
    check(f"oci:{theirs}:2", image, cache, reporter)
    listed = subprocess.run(["umoci", "ls", "--layout", ours], check=True, capture_output=True, text=True)
    assert listed.stdout == "1\n"


def test_a_second_image_joins_a_layout_and_takes_over_its_tag(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    other = build_image([[file("other")]])
    layout = tmp_path / "layout"
    LayoutTarget(layout).deliver(to_write(image, "example.com/a:1"), reporter)
    LayoutTarget(layout).deliver(to_write(other, "example.com/a:2"), reporter)
    check(f"oci:{layout}:1", image, cache, reporter)
    check(f"oci:{layout}:2", other, cache, reporter)
    LayoutTarget(layout).deliver(to_write(other, "example.com/a:1"), reporter)
    check(f"oci:{layout}:example.com/a:1", other, cache, reporter)
    assert len(json.loads((layout / "index.json").read_text())["manifests"]) == 2


@pytest.mark.parametrize("existing", [False, True])
def test_a_layout_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, image: BuiltImage, reporter: Reporter, existing: bool
) -> None:
    layout = tmp_path / "out" / "layout"
    if existing:
        LayoutTarget(layout).deliver(to_write(build_image([[file("other")]]), "a:1"), reporter)
    before = list(tmp_path.rglob("*"))
    good = to_write(image, "b:1")
    bad = replace(good.layers[1], open=good.layers[0].open)
    with pytest.raises(IntegrityError):
        LayoutTarget(layout).deliver(replace(good, layers=(good.layers[0], bad)), reporter)
    assert set(tmp_path.rglob("*")) - {layout.parent} == set(before) - {layout.parent}


def test_a_folder_that_is_no_layout_is_left_alone(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(EnclavizeError, match="is not an OCI layout"):
        LayoutTarget(tmp_path).deliver(to_write(image), reporter)
    with pytest.raises(InvalidImageError, match="has no oci-layout"):
        read_all(f"oci:{tmp_path}", cache, reporter)


@pytest.mark.parametrize("outer", ["none", "gzip", "zstd"])
def test_an_oci_archive_is_read_also_when_it_is_compressed(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter, outer: str
) -> None:
    path = write_oci_archive(tmp_path / "image.tar", {"1": image}, tmp_path / "scratch")
    compress_file(path, outer)
    check(f"oci-archive:{path}:1", image, cache, reporter)


@pytest.mark.parametrize("outer", ["none", "gzip", "zstd"])
def test_a_docker_archive_is_read_also_when_it_is_compressed(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter, outer: str
) -> None:
    path = write_docker_archive(tmp_path / "image.tar", {"demo:1": image})
    compress_file(path, outer)
    check(f"docker-archive:{path}", image, cache, reporter, exact=False)
    check(f"docker-archive:{path}:docker.io/library/demo:1", image, cache, reporter, exact=False)


def compress_file(path: Path, compression: str) -> None:
    """Compress a file in place."""
    data = path.read_bytes()
    if compression == "gzip":
        path.write_bytes(gzip.compress(data, 1))
    elif compression == "zstd":
        path.write_bytes(zstandard.compress(data, 1))


def test_a_layer_that_two_images_of_an_archive_share_is_found_through_its_link(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    derived = build_image([*image.layers, [file("more")]])
    path = write_docker_archive(tmp_path / "image.tar", {"base:1": image, "derived:1": derived})
    check(f"docker-archive:{path}:derived:1", derived, cache, reporter, exact=False)
    with pytest.raises(InvalidImageError, match="2 images to choose from") as caught:
        read_all(f"docker-archive:{path}", cache, reporter)
    assert caught.value.hint == "it has: base:1, derived:1"


def test_skopeo_docker_archives_are_read_and_ours_are_read_by_skopeo(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    layout = write_layout(tmp_path / "layout", {"1": image})
    theirs = tmp_path / "theirs.tar"
    skopeo_copy(f"oci:{layout}:1", f"docker-archive:{theirs}:demo:1")
    found = read_all(f"docker-archive:{theirs}", cache, reporter)
    assert found.config.diff_ids == tuple(layer.diff_id for layer in image.layers)
    ours = tmp_path / "ours.tar"
    ArchiveTarget(ours, ArchiveStyle.DOCKER).deliver(to_write(image, "demo:1"), reporter)
    skopeo_copy(f"docker-archive:{ours}:demo:1", f"oci:{tmp_path / 'back'}:1")
    found = read_all(f"oci:{tmp_path / 'back'}:1", cache, reporter)
    assert found.config.diff_ids == tuple(layer.diff_id for layer in image.layers)


@pytest.mark.parametrize("style", list(ArchiveStyle))
def test_an_archive_that_we_write_is_a_valid_layout_and_always_the_same(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter, style: ArchiveStyle
) -> None:
    paths = [tmp_path / "1.tar", tmp_path / "2.tar"]
    for path in paths:
        assert ArchiveTarget(path, style).deliver(to_write(image, "demo:1"), reporter) == image.descriptor
    assert paths[0].read_bytes() == paths[1].read_bytes()
    check(f"oci-archive:{paths[0]}:1", image, cache, reporter)
    skopeo_copy(f"oci-archive:{paths[0]}:1", f"oci:{tmp_path / 'copy'}:1")
    check(f"oci:{tmp_path / 'copy'}:1", image, cache, reporter)
    if style is ArchiveStyle.DOCKER:
        check_docker_form(f"docker-archive:{paths[0]}", image, cache, reporter)


def check_docker_form(location: str, image: BuiltImage, cache: BlobCache, reporter: Reporter) -> None:
    """Check that the same blobs are found by manifest.json."""
    found = read_all(location, cache, reporter)
    assert found.config_bytes == image.config_bytes
    assert found.layers == tuple(layer.descriptor for layer in image.layers)


def test_an_archive_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, image: BuiltImage, reporter: Reporter
) -> None:
    path = tmp_path / "image.tar"
    path.write_text("old")
    good = to_write(image)
    bad = replace(good.layers[0], open=good.layers[1].open)
    with pytest.raises(IntegrityError):
        ArchiveTarget(path, ArchiveStyle.OCI).deliver(replace(good, layers=(bad, good.layers[1])), reporter)
    assert [found.name for found in tmp_path.iterdir()] == ["image.tar"]
    assert path.read_text() == "old"


def damage(path: Path, layer: bytes, how: str) -> None:
    """Change one layer inside a file that holds it as it is."""
    data = path.read_bytes()
    start = data.index(layer)
    match how:
        case "flip":
            changed = bytearray(data)
            changed[start + len(layer) // 2] ^= 0x10
            path.write_bytes(changed)
        case _:
            path.write_bytes(data[: start + len(layer) // 2])


@pytest.mark.parametrize("how", ["flip", "cut"])
@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive"])
def test_a_damaged_layer_is_refused(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, form: str, how: str
) -> None:
    image = build_image([[file("a", bytes(range(256)) * 40)]], compression="none")
    layer = image.layers[0]
    match form:
        case "oci":
            path = write_layout(tmp_path / "layout", {"1": image})
            damage(path / "blobs/sha256" / layer.descriptor.digest[7:], layer.blob, how)
        case "oci-archive":
            path = write_oci_archive(tmp_path / "image.tar", {"1": image}, tmp_path / "scratch")
            damage(path, layer.blob, how)
        case _:
            path = write_docker_archive(tmp_path / "image.tar", {"a:1": image})
            damage(path, layer.blob, how)
    with pytest.raises((IntegrityError, InvalidImageError)):
        read_all(f"{form}:{path}", cache, reporter)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no archive", "ends inside a header"),
        (b"this is no archive" * 99, "has a damaged header"),
        (b"", "has no oci-layout"),
        (b"\x1f\x8b\x08 damaged", "is truncated gzip data"),
        (b"\x1f\x8b\x09 damaged", "is damaged gzip data"),
        (b"\x28\xb5\x2f\xfd damaged", "is damaged zstd data"),
    ],
)
def test_a_file_that_is_no_archive_is_told(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, content: bytes, message: str
) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(content)
    with pytest.raises(InvalidImageError, match=message):
        read_all(f"oci-archive:{path}", cache, reporter)


def test_a_huge_extended_header_is_not_read_into_memory(
    tmp_path: Path, cache: BlobCache, reporter: Reporter
) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type = tarfile.XHDTYPE
    header.size = 1 << 33
    path = tmp_path / "image.tar"
    with path.open("wb") as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        stream.truncate((1 << 33) + 4096)
    with pytest.raises(InvalidImageError, match="extended header"):
        read_all(f"oci-archive:{path}", cache, reporter)


def test_links_in_an_archive_that_lead_nowhere_end(
    tmp_path: Path, cache: BlobCache, reporter: Reporter
) -> None:
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as archive:
        for name, target in (("manifest.json", "other"), ("other", "manifest.json")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    with pytest.raises(InvalidImageError, match=r"manifest.json is not a regular file"):
        read_all(f"docker-archive:{path}", cache, reporter)


def test_a_file_that_is_not_there_is_told(tmp_path: Path, cache: BlobCache, reporter: Reporter) -> None:
    with pytest.raises(EnclavizeError, match=r"cannot read .*No such file"):
        read_all(f"docker-archive:{tmp_path / 'absent.tar'}", cache, reporter)


def test_an_archive_is_read_from_a_pipe(
    tmp_path: Path, image: BuiltImage, cache: BlobCache, reporter: Reporter
) -> None:
    path = write_docker_archive(tmp_path / "image.tar", {"demo:1": image})
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as process:
        assert process.stdout
        check(f"docker-archive:/dev/fd/{process.stdout.fileno()}", image, cache, reporter, exact=False)
