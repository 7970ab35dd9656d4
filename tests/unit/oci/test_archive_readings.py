"""Archives that two readers would take for two images."""

from __future__ import annotations

import hashlib
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError
from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from support.images import (
    Member,
    build_image,
    build_index,
    directory,
    file,
    hard_link,
    symlink,
    tar_of,
    to_json,
    to_write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from enclavize.oci.image import Image
    from support.images import BuiltImage, BuiltIndex

GENUINE = build_image([[file("bin/hello", "genuine")]], compression="none")
EVIL = build_image([[file("bin/hello", "evil")]], compression="none")
OTHER = build_image([[file("bin/hello", "other")]])
ARM = build_image([[file("bin/hello", "arm")]], platform=("linux", "arm64"))

LAYOUT = file("oci-layout", '{"imageLayoutVersion": "1.0.0"}')
CONTAINERD_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"


def blob(digest: str) -> str:
    """Return the path of a blob."""
    return f"blobs/{digest.replace(':', '/')}"


def blobs(*images: BuiltImage | BuiltIndex) -> list[Member]:
    """Return the members of all blobs."""
    return [
        file(blob(digest), data)
        for digest, data in {key: data for image in images for key, data in image.blobs.items()}.items()
    ]


def index_json(*entries: tuple[BuiltImage | BuiltIndex, str]) -> Member:
    """Return index.json of images and their tags."""
    manifests = []
    for image, name in entries:
        annotations = {CONTAINERD_NAME: f"docker.io/library/{name}", REF_NAME: name.partition(":")[2]}
        manifests.append(image.descriptor.to_json() | ({"annotations": annotations} if name else {}))
    return file("index.json", to_json({"schemaVersion": 2, "manifests": manifests}))


def config_blob(image: BuiltImage) -> str:
    """Return the path of a configuration."""
    return blob(f"sha256:{hashlib.sha256(image.config_bytes).hexdigest()}")


def entry(image: BuiltImage, *names: str, **changes: Any) -> dict[str, Any]:
    """Return what manifest.json says of an image."""
    layers = [blob(layer.descriptor.digest) for layer in image.layers]
    return {"Config": config_blob(image), "RepoTags": list(names), "Layers": layers} | changes


def manifest_json(*entries: dict[str, Any]) -> Member:
    """Return manifest.json."""
    return file("manifest.json", to_json(entries))


@pytest.fixture(name="read")
def _read(tmp_path: Path) -> Callable[..., Image]:
    def read(location: str, members: Iterable[Member]) -> Image:
        """Write an archive, and read all of an image of it."""
        scheme, _, name = location.partition(":")
        path = tmp_path / "image.tar"
        path.write_bytes(tar_of(members))
        image = resolve(
            parse_location(f"{scheme}:{path}{name and ':'}{name}"),
            cache=BlobCache(tmp_path / "blobs"),
            reporter=Reporter(),
        )
        try:
            for layer in image.layers:
                with image.source.open_blob(layer) as stream:
                    stream.read()
        finally:
            image.source.close()
        return image

    return read


BOTH = ("oci-archive", "docker-archive")


def both_forms() -> list[Member]:
    """Return an archive that is a layout and docker's, of the genuine image."""
    names = index_json((GENUINE, "tee:1")), manifest_json(entry(GENUINE, "tee:1"))
    return [LAYOUT, *blobs(GENUINE), *names]


@pytest.mark.parametrize("location", [*BOTH, "oci-archive:1", "docker-archive:tee:1"])
def test_one_image_in_both_forms_is_one_image(read: Callable[..., Image], location: str) -> None:
    image = read(location, both_forms())
    assert image.config_bytes == GENUINE.config_bytes
    image.require_one_reading()


@pytest.mark.parametrize("location", [*BOTH, "oci-archive:1", "docker-archive:tee:1"])
@pytest.mark.parametrize("pair", [(GENUINE, EVIL), (EVIL, GENUINE)])
def test_two_images_under_one_name_are_refused(
    read: Callable[..., Image], location: str, pair: tuple[BuiltImage, BuiltImage]
) -> None:
    members = [LAYOUT, *blobs(*pair), index_json((pair[0], "tee:1")), manifest_json(entry(pair[1], "tee:1"))]
    with pytest.raises(InvalidImageError, match="not the same image to all readers"):
        read(location, members)


@pytest.mark.parametrize("location", BOTH)
@pytest.mark.parametrize("tags", [[], ["other:1"], ["tee:2"]])
def test_so_they_are_under_two_names(read: Callable[..., Image], location: str, tags: list[str]) -> None:
    members = [
        LAYOUT,
        *blobs(GENUINE, EVIL),
        index_json((GENUINE, "tee:1")),
        manifest_json(entry(EVIL, *tags)),
    ]
    with pytest.raises(InvalidImageError, match="not the same image to all readers"):
        read(location, members)


def test_other_layers_for_the_same_configuration_are_refused(read: Callable[..., Image]) -> None:
    evil = entry(GENUINE, "tee:1", Layers=["layer.tar"])
    members = [
        LAYOUT, *blobs(GENUINE), index_json((GENUINE, "tee:1")), manifest_json(evil),
        file("layer.tar", EVIL.layers[0].blob),
    ]  # fmt: skip
    for location in BOTH:
        with pytest.raises(InvalidImageError, match="not the same image to all readers"):
            read(location, members)


def test_a_copy_of_a_blob_under_another_path_is_the_same(read: Callable[..., Image]) -> None:
    copy = entry(GENUINE, "tee:1", Layers=["layer.tar"], Config="config.json")
    members = [
        LAYOUT, *blobs(GENUINE), index_json((GENUINE, "tee:1")), manifest_json(copy),
        file("layer.tar", GENUINE.layers[0].blob), file("config.json", GENUINE.config_bytes),
    ]  # fmt: skip
    for location in BOTH:
        read(location, members).require_one_reading()


def test_several_images_are_told_apart_by_name(read: Callable[..., Image]) -> None:
    members = [
        LAYOUT, *blobs(GENUINE, OTHER, ARM), index_json((GENUINE, "tee:1"), (OTHER, "tee:2"), (ARM, "arm:3")),
        manifest_json(entry(OTHER, "tee:2"), entry(GENUINE, "tee:1"), entry(ARM, "arm:3")),
    ]  # fmt: skip
    for location in ("oci-archive:1", "docker-archive:tee:1"):
        assert read(location, members).config_bytes == GENUINE.config_bytes
    for location in BOTH:
        with pytest.raises(InvalidImageError, match="images to choose from"):
            read(location, members)


def test_names_that_are_swapped_are_refused(read: Callable[..., Image]) -> None:
    members = [
        LAYOUT, *blobs(GENUINE, EVIL), index_json((GENUINE, "tee:1"), (EVIL, "tee:2")),
        manifest_json(entry(EVIL, "tee:1"), entry(GENUINE, "tee:2")),
    ]  # fmt: skip
    for location in ("oci-archive:1", "docker-archive:tee:1"):
        with pytest.raises(InvalidImageError, match="not the same image to all readers"):
            read(location, members)


def test_one_image_in_a_layout_and_two_for_docker_are_refused(read: Callable[..., Image]) -> None:
    members = [
        LAYOUT, *blobs(GENUINE, EVIL), index_json((GENUINE, "tee:1")),
        manifest_json(entry(GENUINE, "tee:1"), entry(EVIL, "evil:1")),
    ]  # fmt: skip
    with pytest.raises(InvalidImageError, match="not the same image to all readers"):
        read("oci-archive", members)


@pytest.mark.parametrize(
    "name", ["docker.io/library/tee:1", "index.docker.io/library/tee:1", "index.docker.io/tee:1"]
)
def test_a_name_that_docker_takes_for_the_same_is_the_same(read: Callable[..., Image], name: str) -> None:
    members = [*blobs(GENUINE, EVIL), manifest_json(entry(GENUINE, "tee:1"), entry(EVIL, name))]
    with pytest.raises(InvalidImageError, match="2 images to choose from"):
        read("docker-archive:tee:1", members)


@pytest.mark.parametrize("crossed", [True, False])
def test_names_of_containerd_and_of_podman_that_are_crossed_are_refused(
    read: Callable[..., Image], crossed: bool
) -> None:
    entries = []
    for image, tag, other in ((GENUINE, "1", "2" if crossed else "1"), (EVIL, "2", "1" if crossed else "2")):
        annotations = {REF_NAME: tag, CONTAINERD_NAME: f"docker.io/library/tee:{other}"}
        entries.append(image.descriptor.to_json() | {"annotations": annotations})
    index = file("index.json", to_json({"schemaVersion": 2, "manifests": entries}))
    members = [LAYOUT, *blobs(GENUINE, EVIL), index]
    if crossed:
        with pytest.raises(InvalidImageError, match="2 images to choose from"):
            read("oci-archive:1", members)
    else:
        read("oci-archive:1", members).require_one_reading()
        read("oci-archive:docker.io/library/tee:1", members).require_one_reading()


def test_an_index_of_platforms_agrees_by_the_one_that_runs(read: Callable[..., Image]) -> None:
    index = build_index([ARM, GENUINE], attestations=True)
    members = [LAYOUT, *blobs(index), index_json((index, "tee:1")), manifest_json(entry(GENUINE, "tee:1"))]
    for location in BOTH:
        read(location, members).require_one_reading()


def test_ambiguities_of_the_other_form_count(read: Callable[..., Image]) -> None:
    double = build_index([GENUINE, build_image([[file("x")]], platform=("linux", "x86_64"))])
    members = [LAYOUT, *blobs(double), index_json((double, "tee:1")), manifest_json(entry(GENUINE, "tee:1"))]
    for location in BOTH:
        with pytest.raises(InvalidImageError, match="2 images that could run"):
            read(location, members).require_one_reading()
    spelled = {key.upper(): value for key, value in entry(GENUINE, "tee:1").items()}
    members = [LAYOUT, *blobs(GENUINE), index_json((GENUINE, "tee:1")), manifest_json(spelled)]
    for location in BOTH:
        with pytest.raises(InvalidImageError, match="spells 'CONFIG'"):
            read(location, members).require_one_reading()


def test_repositories_that_old_docker_reads_alone_are_refused(read: Callable[..., Image]) -> None:
    old = file("repositories", '{"tee": {"1": "0000"}}')
    members = [LAYOUT, *blobs(GENUINE), index_json((GENUINE, "tee:1")), old]
    with pytest.raises(InvalidImageError, match="repositories does not give"):
        read("oci-archive", members)
    with pytest.raises(InvalidImageError, match=r"has no manifest.json"):
        read("docker-archive", members)
    read("oci-archive", [*members, manifest_json(entry(GENUINE, "tee:1"))])  # nobody reads them any more


@pytest.mark.parametrize(
    "twice",
    [
        manifest_json(entry(EVIL, "tee:1")),
        index_json((EVIL, "tee:1")),
        file("./manifest.json", to_json([entry(EVIL, "tee:1")])),
        file("/manifest.json", to_json([entry(EVIL, "tee:1")])),
        file("a/../manifest.json", to_json([entry(EVIL, "tee:1")])),
        file("../manifest.json", to_json([entry(EVIL, "tee:1")])),
        file("./oci-layout", "{}"),
        symlink("manifest.json", "evil.json"),
        hard_link("manifest.json", "evil.json"),
        directory("manifest.json/"),
        Member(path="manifest.json", type=tarfile.FIFOTYPE),
        file(blob(GENUINE.layers[0].descriptor.digest), EVIL.layers[0].blob),
        hard_link(config_blob(GENUINE), config_blob(EVIL)),
    ],
)
@pytest.mark.parametrize("location", BOTH)
@pytest.mark.parametrize("first", [False, True])
def test_a_name_that_stands_twice_is_refused(
    read: Callable[..., Image], location: str, twice: Member, first: bool
) -> None:
    members = [*both_forms(), *blobs(EVIL)]
    with pytest.raises(InvalidImageError, match="twice"):
        read(location, [twice, *members] if first else [*members, twice])


def test_folders_may_stand_twice(read: Callable[..., Image]) -> None:
    members = [directory("blobs/"), directory("./blobs"), *blobs(GENUINE), manifest_json(entry(GENUINE))]
    read("docker-archive", members)


@pytest.mark.parametrize("link", [symlink("blobs", "evil"), hard_link("blobs/sha256", "x"), file("blobs")])
def test_what_is_below_a_link_is_refused(read: Callable[..., Image], link: Member) -> None:
    """Docker unpacks what comes behind the link into the folder that it leads to."""
    with pytest.raises(InvalidImageError, match="is no folder"):
        read("docker-archive", [*blobs(GENUINE), link, manifest_json(entry(GENUINE))])


@pytest.mark.parametrize("document", ["index.json", "oci-layout", "manifest.json"])
@pytest.mark.parametrize("make", [symlink, hard_link])
def test_documents_are_no_links(
    read: Callable[..., Image], document: str, make: Callable[[str, str], Member]
) -> None:
    members = both_forms()
    moved = [file("elsewhere", member.data) if member.path == document else member for member in members]
    for location in BOTH[: 1 if document == "oci-layout" else 2]:  # docker does not look at it
        with pytest.raises(InvalidImageError, match=f"{document} is not a regular file"):
            read(location, [*moved, make(document, "elsewhere")])


def test_blobs_of_a_layout_are_no_links(read: Callable[..., Image]) -> None:
    members = [
        LAYOUT, index_json((GENUINE, "")), file("manifest", GENUINE.manifest_bytes),
        symlink(blob(GENUINE.descriptor.digest), "../../manifest"),
    ]  # fmt: skip
    with pytest.raises(InvalidImageError, match="is not a regular file"):
        read("oci-archive", members)


@pytest.mark.parametrize("target", ["/layer.tar", "nowhere", "../../nowhere", "a/layer.tar"])
def test_links_of_layers_lead_somewhere_that_all_readers_agree_on(
    read: Callable[..., Image], target: str
) -> None:
    members = [
        *blobs(GENUINE), file("layer.tar", GENUINE.layers[0].blob), symlink("a/layer.tar", target),
        manifest_json(entry(GENUINE, Layers=["a/layer.tar"])),
    ]  # fmt: skip
    with pytest.raises(InvalidImageError):
        read("docker-archive", members)


def test_links_to_the_layer_of_another_image_are_followed(read: Callable[..., Image]) -> None:
    members = [
        *blobs(GENUINE), file("b/layer.tar", GENUINE.layers[0].blob),
        symlink("a/layer.tar", "../b/layer.tar"),
        manifest_json(entry(GENUINE, Layers=["a/layer.tar"])),
    ]  # fmt: skip
    assert read("docker-archive", members).layers[0].digest == GENUINE.layers[0].diff_id


def test_layers_are_compared_with_the_diff_ids_of_their_place(read: Callable[..., Image]) -> None:
    twins = build_image([GENUINE.layers[0], GENUINE.layers[0]])
    members = [
        *blobs(twins), file("a.tar", GENUINE.layers[0].blob), file("b.tar", EVIL.layers[0].blob),
    ]  # fmt: skip
    read("docker-archive", [*members, manifest_json(entry(twins, Layers=["a.tar", "a.tar"]))])
    for layers in (["a.tar", "b.tar"], ["b.tar", "a.tar"]):
        with pytest.raises(IntegrityError, match=r"layer"):
            read("docker-archive", [*members, manifest_json(entry(twins, Layers=layers))])


def test_sparse_files_are_refused(read: Callable[..., Image]) -> None:
    """Go reads them, and would find a manifest.json where we saw none."""
    hidden = Member(
        path="manifest.json", data=json.dumps([entry(EVIL, "tee:1")]).encode(),
        pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    )  # fmt: skip
    with pytest.raises(InvalidImageError, match="sparse"):
        read("oci-archive", [LAYOUT, *blobs(GENUINE), index_json((GENUINE, "tee:1")), hidden])


def test_an_archive_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    ArchiveTarget(path, ArchiveStyle.DOCKER).deliver(to_write(GENUINE, "tee:1"), Reporter())
    whole = path.read_bytes()
    for size in range(0, len(whole) - 2 * 512, 512):
        path.write_bytes(whole[:size])
        with pytest.raises(EnclavizeError):
            resolve(parse_location(f"oci-archive:{path}"), cache=BlobCache(tmp_path), reporter=Reporter())


def test_a_name_that_no_system_can_unpack_is_refused(read: Callable[..., Image]) -> None:
    with pytest.raises(InvalidImageError, match="a name of 5000 bytes"):
        read("docker-archive", [file("a" * 5000), *blobs(GENUINE), manifest_json(entry(GENUINE))])
