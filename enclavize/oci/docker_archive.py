"""Images in what ``docker save`` writes, old and new."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.oci.agreement import check_layout
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import Digest, sha256_digest
from enclavize.oci.docker_manifest import read_docker_manifest
from enclavize.oci.image import Image, spelling
from enclavize.oci.image_config import parse_config
from enclavize.oci.layout import read_small
from enclavize.oci.limits import MAX_CONFIG_SIZE, MAX_LAYERS
from enclavize.oci.local_source import LocalSource
from enclavize.oci.manifest import image_manifest
from enclavize.oci.media_types import (
    MAGIC_SIZE,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    sniff_compression,
)
from enclavize.oci.select import check_machine
from enclavize.oci.tar_files import open_archive

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.docker_manifest import DockerEntry
    from enclavize.oci.platform import Platform
    from enclavize.oci.reference import ImageReference
    from enclavize.oci.tar_files import TarFiles

_LAYER_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
_BLOB_PATH = re.compile(r"blobs/sha256/([0-9a-f]{64})")


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


class DockerArchiveSource(LocalSource):
    """The blobs of a docker archive, found by the paths that its manifest.json gives."""

    def __init__(self, files: TarFiles, paths: dict[Digest, str]) -> None:
        self._files = files
        self._paths = paths

    def close(self) -> None:
        """Close the archive."""
        self._files.close()

    def _find(self, digest: Digest) -> tuple[BinaryIO, str]:
        path = self._paths.get(digest)
        if path is None:
            raise InvalidImageError(f"{self._files.name} has no blob {digest}")
        return self._files.open(path), f"{self._files.name}, {path}"


def image_from_docker_files(
    name: str, files: TarFiles, wanted: ImageReference | None, platform: Platform
) -> Image:
    """Find an image by manifest.json; its OCI manifest is made up, since the archive has none of its own.

    Raises InvalidImageError, IntegrityError.
    """
    entry = _choose_image(read_docker_manifest(files), wanted, files.name)
    config_bytes = read_small(files, entry.config, MAX_CONFIG_SIZE)
    config = parse_config(config_bytes, f"{files.name}: {entry.config}")
    if len(entry.layers) > MAX_LAYERS or len(entry.layers) != len(config.diff_ids):
        raise InvalidImageError(
            f"{files.name} lists {len(entry.layers)} layers, its configuration {len(config.diff_ids)}"
        )
    oddities = (*config.oddities, *check_machine(name, config, platform))
    ambiguities = check_layout(files, entry, platform, by_name=wanted is not None)
    config_descriptor = Descriptor(
        media_type=OCI_CONFIG, digest=sha256_digest(config_bytes), size=len(config_bytes)
    )
    paths = {config_descriptor.digest: entry.config}
    layers = []
    for path, diff_id in zip(map(files.follow, entry.layers), config.diff_ids, strict=True):
        layer = _describe_layer(files, path, diff_id)
        if paths.setdefault(layer.digest, path) != path and files.digest(path) != layer.digest:
            raise IntegrityError(f"{files.name}: {path} is not the layer {layer.digest}")
        layers.append(layer)
    manifest_bytes = image_manifest(config_descriptor, tuple(layers))
    return Image(
        name=name,
        manifest=Descriptor(
            media_type=OCI_MANIFEST, digest=sha256_digest(manifest_bytes), size=len(manifest_bytes)
        ),
        manifest_bytes=manifest_bytes,
        config_bytes=config_bytes,
        layers=tuple(layers),
        source=DockerArchiveSource(files, paths),
        ambiguities=(*entry.ambiguities, *ambiguities, *spelling(config.misspelled, "its configuration")),
        oddities=oddities,
        archive_size=files.compressed_size,
    )


def _choose_image(images: tuple[DockerEntry, ...], wanted: ImageReference | None, name: str) -> DockerEntry:
    tags = sorted(tag for image in images for tag in image.tags)
    hint = f"it has: {', '.join(tags)}" if tags else None
    if wanted:
        images = tuple(image for image in images if str(wanted) in image.names)
        if not images:
            raise InvalidImageError(f"{name} has no image {wanted.familiar}", hint=hint)
    if len(images) != 1:
        raise InvalidImageError(f"{name} has {len(images)} images to choose from", hint=hint)
    return images[0]


def _describe_layer(files: TarFiles, path: str, diff_id: Digest) -> Descriptor:
    """Find digest and size; ``path`` is no link.

    A plain layer has the digest that the configuration calls its diff ID. Digests that are taken from
    elsewhere than from the content are compared when the layer is read.
    """
    try:
        size = files.size(path)
        with files.open(path) as stream:
            compression = sniff_compression(stream.read(MAGIC_SIZE))
            if compression == "none":
                digest = diff_id
            elif match := _BLOB_PATH.fullmatch(path):
                digest = Digest(f"sha256:{match[1]}")
            else:
                digest = files.digest(path)
    except FileNotFoundError as error:
        raise InvalidImageError(f"{files.name} has no layer {path}") from error
    return Descriptor(media_type=_LAYER_TYPES.get(compression, OCI_LAYER), digest=digest, size=size)
