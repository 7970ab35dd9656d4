"""Image archives that are written: tar files of an OCI layout, and what ``docker load`` reads.

docker's format is a ``manifest.json`` that names, for each image, its configuration, its layers and its tags.
What is written here is both at once: blobs as in a layout, an ``index.json``, and a ``manifest.json`` that
points to the same blobs, as BuildKit does; old and new docker, containerd, podman and skopeo read it.
"""

from __future__ import annotations

import sys
import tarfile
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.oci.docker_manifest import DOCKER_MANIFEST_FILE
from enclavize.oci.document import canonical_json
from enclavize.oci.layout import (
    INDEX_FILE,
    LAYOUT_BYTES,
    LAYOUT_FILE,
    blob_path,
    blobs_of,
    index_bytes,
    named_entries,
)
from enclavize.oci.reference import parse_reference
from enclavize.oci.storage import atomic_file, storage_errors
from enclavize.oci.stream import blob_name, chunks, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.target import ImageToWrite
    from enclavize.progress import Reporter


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
