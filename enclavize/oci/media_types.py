"""Media types of manifests, configurations and layers: OCI image-spec 1.1, Docker manifest v2 schema 2."""

from __future__ import annotations

from typing import Literal

from enclavize.errors import InvalidImageError

Compression = Literal["gzip", "zstd", "bzip2", "xz", "none"]
"""Media types know the first two and the last; docker takes all of them in archives, and as layers."""

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"

NONDISTRIBUTABLE_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
NONDISTRIBUTABLE_LAYER_GZIP = f"{NONDISTRIBUTABLE_LAYER}+gzip"
NONDISTRIBUTABLE_LAYER_ZSTD = f"{NONDISTRIBUTABLE_LAYER}+zstd"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_FOREIGN_LAYER_GZIP = f"{DOCKER_FOREIGN_LAYER}.gzip"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})

_LAYER_COMPRESSION: dict[str, Compression] = {
    OCI_LAYER: "none",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER_ZSTD: "zstd",
    NONDISTRIBUTABLE_LAYER: "none",
    NONDISTRIBUTABLE_LAYER_GZIP: "gzip",
    NONDISTRIBUTABLE_LAYER_ZSTD: "zstd",
    DOCKER_FOREIGN_LAYER: "none",
    DOCKER_FOREIGN_LAYER_GZIP: "gzip",
}

_ELSEWHERE = frozenset({
    NONDISTRIBUTABLE_LAYER, NONDISTRIBUTABLE_LAYER_GZIP, NONDISTRIBUTABLE_LAYER_ZSTD, DOCKER_FOREIGN_LAYER,
    DOCKER_FOREIGN_LAYER_GZIP,
})  # fmt: skip

MAGIC_NUMBERS: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",  # RFC 1952, 2.3.1
    b"\x28\xb5\x2f\xfd": "zstd",  # RFC 8878, 3.1.1
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",  # The .xz File Format, 2.1.1.1
}
MAGIC_SIZE = max(map(len, MAGIC_NUMBERS))
"""Bytes from which a compression is told."""


def is_layer(media_type: str) -> bool:
    """Tell whether this is a layer that can be read."""
    return media_type in _LAYER_COMPRESSION


def may_be_elsewhere(media_type: str) -> bool:
    """Tell whether this is a layer that is often not where its image is, as those of Windows' base images."""
    return media_type in _ELSEWHERE


def layer_compression(media_type: str) -> Compression:
    """Return how a layer is compressed. Raises InvalidImageError for layers that cannot be read."""
    compression = _LAYER_COMPRESSION.get(media_type)
    if compression is not None:
        return compression
    if media_type.endswith("+encrypted"):
        raise InvalidImageError(
            f"the image has an encrypted layer ({media_type})",
            hint="decrypt the image before it is converted",
        )
    raise InvalidImageError(f"the image has a layer of unknown type {media_type[:200]!r}")


def sniff_compression(start: bytes) -> Compression:
    """Tell the compression of a stream from its first bytes."""
    for magic, compression in MAGIC_NUMBERS.items():
        if start.startswith(magic):
            return compression
    return "none"
