"""Image archives: tar files of an OCI layout, and what ``docker save`` writes and ``docker load`` reads.

docker's format is a ``manifest.json`` that names, for each image, its configuration, its layers and its tags.
What is written here is both at once: blobs as in a layout, an ``index.json``, and a ``manifest.json`` that
points to the same blobs, as BuildKit does; old and new docker, containerd, podman and skopeo read it.
"""

from __future__ import annotations

import re
import sys
import tarfile
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import InvalidImageError, UsageError
from enclavize.oci.descriptor import DESCRIPTOR_SHAPE, Descriptor
from enclavize.oci.digest import Digest, new_hash, sha256_digest
from enclavize.oci.document import canonical_json, parse_documents
from enclavize.oci.image import Image, parse_config, spelling
from enclavize.oci.layout import (
    INDEX_FILE,
    LAYOUT_BYTES,
    LAYOUT_FILE,
    blob_path,
    blobs_of,
    image_from_layout,
    index_bytes,
    named_entries,
    read_small,
)
from enclavize.oci.limits import MAX_CONFIG_SIZE, MAX_LAYERS, MAX_MANIFEST_SIZE
from enclavize.oci.manifest import image_manifest
from enclavize.oci.media_types import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    sniff_compression,
)
from enclavize.oci.reference import parse_reference
from enclavize.oci.select import check_machine
from enclavize.oci.shape import Shape
from enclavize.oci.storage import atomic_file, storage_errors
from enclavize.oci.stream import blob_name, chunks, verified
from enclavize.oci.tar_files import open_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.document import Document
    from enclavize.oci.platform import Platform
    from enclavize.oci.reference import ImageReference
    from enclavize.oci.stream import Sink
    from enclavize.oci.tar_files import TarFiles
    from enclavize.oci.target import ImageToWrite
    from enclavize.progress import Reporter

DOCKER_MANIFEST_FILE = "manifest.json"

_ENTRY_SHAPE = Shape(names="Config RepoTags Layers Parent", maps={"LayerSources": DESCRIPTOR_SHAPE})
_LAYER_TYPES = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
_BLOB_PATH = re.compile(r"blobs/sha256/([0-9a-f]{64})")


def image_from_oci_archive(
    name: str, path: Path, tag: str | None, platform: Platform, cache: BlobCache
) -> Image:
    """Find an image in a tar file of an OCI layout. Raises InvalidImageError, IntegrityError."""
    files = open_archive(path, cache)
    try:
        return image_from_layout(name, files, tag, platform)
    except BaseException:
        files.close()
        raise


def image_from_docker_archive(
    name: str, path: Path, wanted: ImageReference | None, platform: Platform, cache: BlobCache
) -> Image:
    """Find an image in what ``docker save`` wrote. Raises InvalidImageError, IntegrityError."""
    files = open_archive(path, cache)
    try:
        return image_from_docker_files(name, files, wanted, platform)
    except BaseException:
        files.close()
        raise


class DockerArchiveSource:
    """The blobs of a docker archive, found by the paths that its manifest.json gives."""

    origin = None
    remote = False

    def __init__(self, files: TarFiles, paths: dict[Digest, str]) -> None:
        self._files = files
        self._paths = paths

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a layer or the configuration."""
        path = self._paths.get(descriptor.digest)
        if path is None:
            raise InvalidImageError(f"{self._files.name} has no blob {descriptor.digest}")
        what = f"{self._files.name}, {path}"
        return verified(self._files.open(path), descriptor, what, advance=advance, sink=sink)

    def close(self) -> None:
        """Close the archive."""
        self._files.close()


def image_from_docker_files(
    name: str, files: TarFiles, wanted: ImageReference | None, platform: Platform
) -> Image:
    """Find an image by manifest.json; its OCI manifest is made up, since the archive has none of its own."""
    what = f"{files.name}: {DOCKER_MANIFEST_FILE}"
    data = read_small(files, DOCKER_MANIFEST_FILE, MAX_MANIFEST_SIZE)
    entry = _choose_image(parse_documents(data, what, _ENTRY_SHAPE), wanted, files.name)
    config_path = entry.text("Config")
    config_bytes = read_small(files, config_path, MAX_CONFIG_SIZE)
    config = parse_config(config_bytes, f"{files.name}: {config_path}")
    layer_paths = entry.texts("Layers")
    if len(layer_paths) > MAX_LAYERS or len(layer_paths) != len(config.diff_ids):
        raise InvalidImageError(
            f"{files.name} lists {len(layer_paths)} layers, its configuration {len(config.diff_ids)}"
        )
    check_machine(name, config, platform)
    config_descriptor = Descriptor(
        media_type=OCI_CONFIG, digest=sha256_digest(config_bytes), size=len(config_bytes)
    )
    layers = tuple(
        _describe_layer(files, path, diff_id)
        for path, diff_id in zip(layer_paths, config.diff_ids, strict=True)
    )
    manifest_bytes = image_manifest(config_descriptor, layers)
    paths = {layer.digest: path for layer, path in zip(layers, layer_paths, strict=True)}
    return Image(
        name=name,
        manifest=Descriptor(
            media_type=OCI_MANIFEST, digest=sha256_digest(manifest_bytes), size=len(manifest_bytes)
        ),
        manifest_bytes=manifest_bytes,
        config_bytes=config_bytes,
        layers=layers,
        source=DockerArchiveSource(files, {**paths, config_descriptor.digest: config_path}),
        ambiguities=(
            *spelling(entry.misspelled, DOCKER_MANIFEST_FILE),
            *spelling(config.misspelled, "its configuration"),
        ),
    )


def _choose_image(images: tuple[Document, ...], wanted: ImageReference | None, name: str) -> Document:
    tags = sorted(tag for image in images for tag in image.texts("RepoTags"))
    hint = f"it has: {', '.join(tags)}" if tags else None
    if wanted:
        images = tuple(image for image in images if _has_name(image, wanted))
        if not images:
            raise InvalidImageError(f"{name} has no image {wanted.familiar}", hint=hint)
    if len(images) != 1:
        raise InvalidImageError(f"{name} has {len(images)} images to choose from", hint=hint)
    return images[0]


def _has_name(image: Document, wanted: ImageReference) -> bool:
    """Tell whether an image has a name, which docker writes in the short form and podman in the long."""
    return not {str(wanted), wanted.familiar}.isdisjoint(image.texts("RepoTags"))


def _describe_layer(files: TarFiles, path: str, diff_id: Digest) -> Descriptor:
    """Find digest and size. A plain layer has the digest that the configuration calls its diff ID."""
    try:
        size = files.size(path)
        with files.open(path) as stream:
            compression = sniff_compression(stream.read(4))
            if compression == "none":
                digest = diff_id
            elif match := _BLOB_PATH.fullmatch(path):
                digest = Digest(f"sha256:{match[1]}")
            else:
                digest = _hash(files.open(path))
    except FileNotFoundError as error:
        raise InvalidImageError(f"{files.name} has no layer {path}") from error
    return Descriptor(media_type=_LAYER_TYPES[compression], digest=digest, size=size)


def _hash(stream: BinaryIO) -> Digest:
    hasher = new_hash(Digest("sha256:"))
    with stream:
        for data in chunks(stream):
            hasher.update(data)
    return Digest(f"sha256:{hasher.hexdigest()}")


class ArchiveStyle(StrEnum):
    """What an archive is made for."""

    OCI = "oci"
    DOCKER = "docker"


class ArchiveTarget:
    """Writes an image into a new tar file, or to standard output if ``path`` is None."""

    def __init__(self, path: Path | None, style: ArchiveStyle) -> None:
        self._path = path
        self._style = style

    def deliver(self, image: ImageToWrite, reporter: Reporter) -> Descriptor:
        """Write the archive."""
        with reporter.task(f"write {self._path or 'standard output'}") as task:
            if self._path is None:
                for data in archive_chunks(image, self._style, task.advance):
                    sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
                return image.manifest
            if self._path.is_dir():
                raise UsageError(f"{self._path} is a folder", hint="name a file")
            with storage_errors("write", self._path), atomic_file(self._path) as output:
                for data in archive_chunks(image, self._style, task.advance):
                    output.write(data)
        return image.manifest


def archive_chunks(
    image: ImageToWrite, style: ArchiveStyle, advance: Callable[[int], None] | None = None
) -> Iterator[bytes]:
    """Yield the bytes of an archive: the same for the same image, whatever the day or the user."""
    yield from _folder("blobs/")
    yield from _folder("blobs/sha256/")
    for descriptor, open_blob in sorted(blobs_of(image), key=lambda blob: blob[0].digest):
        yield _header(blob_path(descriptor.digest), descriptor.size)
        with verified(open_blob(), descriptor, blob_name(descriptor.digest), advance=advance) as stream:
            yield from chunks(stream)
        yield _padding(descriptor.size)
    documents = {INDEX_FILE: index_bytes(named_entries(image)), LAYOUT_FILE: LAYOUT_BYTES}
    if style is ArchiveStyle.DOCKER:
        documents[DOCKER_MANIFEST_FILE] = _docker_manifest(image)
    for name, data in sorted(documents.items()):
        yield _header(name, len(data)) + data + _padding(len(data))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _docker_manifest(image: ImageToWrite) -> bytes:
    return canonical_json(
        [
            {
                "Config": blob_path(image.config.digest),
                "RepoTags": [
                    replace(parse_reference(name), digest=None).familiar for name in image.references
                ],
                "Layers": [blob_path(layer.descriptor.digest) for layer in image.layers],
            }
        ]
    )


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def _folder(name: str) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    member.mode = 0o755
    yield member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
