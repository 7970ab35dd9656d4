"""The folder that ``skopeo copy ... dir:PATH`` writes: manifest and blobs of one image, each a file.

    version                  "Directory Transport Version: 1.1", and a newline
    manifest.json            the manifest, or the index of several images
    DIGEST.manifest.json     the manifests of an index, by the hex digits of their digests
    DIGEST                   layers and configurations, in the same way

Source: containers/image, directory/directory_transport.go and directory_dest.go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import InvalidImageError, MissingBlobError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import hex_of, sha256_digest
from enclavize.oci.layout import FolderFiles, read_small
from enclavize.oci.limits import MAX_MANIFEST_SIZE
from enclavize.oci.local_source import LocalSource
from enclavize.oci.manifest import parse_manifest
from enclavize.oci.select import select_image
from enclavize.oci.stream import blob_name, read_verified
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.platform import Platform

VERSION_FILE = "version"
MANIFEST_FILE = "manifest.json"
VERSION_PREFIX = b"Directory Transport Version: "
VERSION = b"1.1"


def is_skopeo_directory(path: Path) -> bool:
    """Tell whether skopeo wrote a folder, and it is no root file system."""
    version = path / VERSION_FILE
    if not (path / MANIFEST_FILE).is_file() or not version.is_file():
        return False
    with version.open("rb") as stream:
        return stream.read(len(VERSION_PREFIX)) == VERSION_PREFIX


class SkopeoDirectorySource(LocalSource):
    """The blobs of such a folder."""

    def __init__(self, files: FolderFiles) -> None:
        self._files = files

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Read one of several manifests."""
        path = f"{hex_of(descriptor.digest)}.{MANIFEST_FILE}"
        if not descriptor.size:
            descriptor = replace(descriptor, size=len(read_small(self._files, path, MAX_MANIFEST_SIZE)))
        stream, _ = self._open(path, descriptor.digest)
        return read_verified(stream, descriptor, f"{self._files.name}, manifest")

    def close(self) -> None:
        """Nothing is open."""

    def _find(self, digest: Digest) -> tuple[BinaryIO, str]:
        return self._open(hex_of(digest), digest)

    def _open(self, path: str, digest: Digest) -> tuple[BinaryIO, str]:
        try:
            stream = self._files.open(path)
        except FileNotFoundError as error:
            raise MissingBlobError(f"{self._files.name} has no blob {digest}") from error
        return stream, f"{self._files.name}, {blob_name(digest)}"


def image_from_skopeo_directory(name: str, path: Path, platform: Platform) -> Image:
    """Find the image in such a folder. Raises InvalidImageError, IntegrityError."""
    files = FolderFiles(path)
    version = read_small(files, VERSION_FILE, 4096).removeprefix(VERSION_PREFIX).strip()
    if version != VERSION:
        raise InvalidImageError(
            f"{path} is a folder of skopeo's in another version than {VERSION.decode()}: "
            f"{printable(version[:20].decode(errors='replace'))}",
            hint="copy the image again with a current skopeo, best to: oci:DIR",
        )
    data = read_small(files, MANIFEST_FILE, MAX_MANIFEST_SIZE)
    manifest = parse_manifest(data, f"{path}: {MANIFEST_FILE}")
    descriptor = Descriptor(media_type=manifest.media_type, digest=sha256_digest(data), size=len(data))
    return select_image(name, descriptor, data, SkopeoDirectorySource(files), platform)
