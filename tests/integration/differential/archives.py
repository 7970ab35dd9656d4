"""Odd image archives: which image is in them, and where its files are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget
from enclavize.oci.digest import sha256_digest
from enclavize.progress import Reporter
from integration.differential.gnu_tar import archive_of
from integration.differential.indexes import RIGHT, WRONG
from integration.differential.samples import Archive, Kind
from support.images import directory, file, hard_link, symlink, tar_of, to_write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.differential.samples import Laboratory
    from support.images import BuiltImage, Member

OCI, DOCKER = "oci-archive", "docker-archive"
_NAME = "docker.io/library/x:1"


def blob_path(digest: str) -> str:
    """Return where a blob is."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def blobs(*images: BuiltImage) -> list[Member]:
    """Return the blobs of images as members."""
    found = {digest: data for image in images for digest, data in image.blobs.items()}
    return [file(blob_path(digest), data) for digest, data in sorted(found.items())]


def index_file(*images: BuiltImage, name: str = "index.json") -> Member:
    """Return an index.json; all images have one tag."""
    annotations = {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": _NAME}
    entries = [{**image.descriptor.to_json(), "annotations": annotations} for image in images]
    return file(name, json.dumps({"schemaVersion": 2, "manifests": entries}))


def docker_entry(image: BuiltImage, **changes: object) -> dict[str, Any]:
    """Return what manifest.json says of an image."""
    return {
        "Config": blob_path(sha256_digest(image.config_bytes)),
        "RepoTags": ["x:1"],
        "Layers": [blob_path(layer.descriptor.digest) for layer in image.layers],
        **changes,
    }


def docker_file(*entries: dict[str, Any], name: str = "manifest.json") -> Member:
    """Return a manifest.json."""
    return file(name, json.dumps(entries))


def archive(
    name: str, ways: tuple[str, ...], members: Sequence[Member], *, image: str = "x:1", behind: bytes = b""
) -> Kind:
    """Return a kind with these members, and bytes behind the archive."""

    def make(laboratory: Laboratory) -> Archive:
        path = laboratory.folder / "image.tar"
        path.write_bytes(archive_of(members) + behind)
        return Archive(path=path, ways=ways, name=image)

    return Kind(name=f"archive: {name}", writer="GNU tar", make=make)


def oci(name: str, *members: Member) -> Kind:
    """Return a kind of OCI archive."""
    return archive(name, (OCI,), members)


def docker(name: str, *members: Member, image: str = "x:1", behind: bytes = b"") -> Kind:
    """Return a kind of docker archive."""
    return archive(name, (DOCKER,), members, image=image, behind=behind)


def both(name: str, *members: Member) -> Kind:
    """Return a kind of archive that can be read as both."""
    return archive(name, (OCI, DOCKER), members)


def _own(style: ArchiveStyle, *ways: str) -> Kind:
    def make(laboratory: Laboratory) -> Archive:
        path = laboratory.folder / "image.tar"
        ArchiveTarget(path, style).deliver(to_write(RIGHT, "x:1"), Reporter())
        return Archive(path=path, ways=ways, name="x:1")

    return Kind(name=f"archive: enclavize's own, {style}", writer="enclavize", make=make)


def _below(prefix: str, members: Sequence[Member]) -> list[Member]:
    return [replace(member, path=prefix + member.path) for member in members]


LAYOUT = file("oci-layout", '{"imageLayoutVersion": "1.0.0"}')
_RIGHT, _WRONG = docker_entry(RIGHT), docker_entry(WRONG)
_ONE, _TWO = blobs(RIGHT), blobs(RIGHT, WRONG)
_INDEX, _MANIFEST = index_file(RIGHT), docker_file(_RIGHT)
_WHOLE = [*_ONE, LAYOUT, _INDEX, _MANIFEST]
_DATA = RIGHT.layers[0].blob
_LAYER = _RIGHT["Layers"][0]
_REST = [member for member in _ONE if member.path != _LAYER]
_FOLDED = (
    json.dumps([_RIGHT])[:-2]
    + f', "config": "{_WRONG["Config"]}", "layers": {json.dumps(_WRONG["Layers"])}}}]'
)
_OLD = docker_file({**_RIGHT, "Layers": ["l/layer.tar"]})

KINDS = [
    _own(ArchiveStyle.DOCKER, OCI, DOCKER),
    _own(ArchiveStyle.OCI, OCI),
    both("both files agree", *_WHOLE),
    both("index.json names another image", *_TWO, LAYOUT, index_file(WRONG), _MANIFEST),
    both("manifest.json names another image", *_TWO, LAYOUT, _INDEX, docker_file(_WRONG)),
    both(
        "manifest.json has one layer less",
        *(*_TWO, LAYOUT, index_file(WRONG), docker_file({**_WRONG, "Layers": _RIGHT["Layers"]})),
    ),
    both("index.json names two images", *_TWO, LAYOUT, index_file(RIGHT, WRONG), _MANIFEST),
    docker("manifest.json names two images", *_TWO, docker_file(_RIGHT, _WRONG)),
    docker("two images by two names", *_TWO, docker_file(_RIGHT, {**_WRONG, "RepoTags": ["y:1"]})),
    docker("several names", *_ONE, docker_file({**_RIGHT, "RepoTags": ["x:1", "y:1", "z:2"]})),
    docker("no names", *_ONE, docker_file({**_RIGHT, "RepoTags": None}), image=""),
    docker("manifest.json twice", *_TWO, docker_file(_WRONG), _MANIFEST),
    docker("manifest.json in two spellings", *_TWO, _MANIFEST, docker_file(_WRONG, name="./manifest.json")),
    oci("index.json twice", *_TWO, LAYOUT, index_file(WRONG), _INDEX),
    oci("index.json in two spellings", *_TWO, LAYOUT, _INDEX, index_file(WRONG, name="./index.json")),
    docker("a layer twice", *_ONE, file(_LAYER, _DATA), _MANIFEST),
    docker("a layer twice, once another", file(_LAYER, WRONG.layers[1].blob), *_ONE, _MANIFEST),
    both("members with ./", directory("./"), *_below("./", _WHOLE)),
    both("absolute members", *_below("/", _WHOLE)),
    both("members that climb", *_WHOLE, file("../manifest.json", "[]")),
    docker("a layer as a symbolic link", file("d", _DATA), symlink(_LAYER, "../../d"), *_REST, _MANIFEST),
    docker("a link before its target", symlink(_LAYER, "../../d"), *_REST, _MANIFEST, file("d", _DATA)),
    docker("a layer as a hard link", file("d", _DATA), hard_link(_LAYER, "d"), *_REST, _MANIFEST),
    docker("a layer as a link to the outside", symlink(_LAYER, "/etc/hostname"), *_REST, _MANIFEST),
    docker("manifest.json as a link", *_ONE, file("d", _MANIFEST.data), symlink("manifest.json", "d")),
    docker("the old paths of layers", *_REST, directory("l"), file("l/layer.tar", _DATA), _OLD),
    docker("a layer's path that climbs", *_ONE, docker_file({**_RIGHT, "Layers": [f"x/../{_LAYER}"]})),
    docker("members of manifest.json again in another case", *_TWO, file("manifest.json", _FOLDED)),
    docker("repositories of docker 1.9", *_ONE, _MANIFEST, file("repositories", '{"y": {"1": "0"}}')),
    docker("an archive behind the end", *_ONE, _MANIFEST, behind=tar_of([*_TWO, docker_file(_WRONG)])),
    oci("no oci-layout", *_ONE, _INDEX),
    oci("a layout of version 2", *_ONE, file("oci-layout", '{"imageLayoutVersion": "2.0.0"}'), _INDEX),
]  # fmt: skip
