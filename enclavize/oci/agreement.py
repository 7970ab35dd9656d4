"""An archive may be a layout and a docker archive at once: then both must give the same image.

docker reads ``manifest.json`` where there is one, containerd and podman ``index.json``; who looks at the one
must not trust what the other gives. Sources: moby, daemon/internal/image/tarexport/load.go; containerd,
core/images/archive/importer.go.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.oci.digest import algorithm_of
from enclavize.oci.docker_manifest import (
    DOCKER_MANIFEST_FILE,
    REPOSITORIES_FILE,
    long_name,
    read_docker_manifest,
)
from enclavize.oci.layout import (
    CONTAINERD_NAME,
    INDEX_FILE,
    REF_NAME,
    LayoutSource,
    blob_path,
    has_name,
    read_index,
    without_signatures,
)
from enclavize.oci.manifest import Manifest, parse_manifest
from enclavize.oci.select import image_at

if TYPE_CHECKING:
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.docker_manifest import DockerEntry
    from enclavize.oci.image import Image
    from enclavize.oci.manifest import Index
    from enclavize.oci.platform import Platform
    from enclavize.oci.tar_files import TarFiles


def check_docker_manifest(files: TarFiles, image: Image, tag: str | None) -> tuple[str, ...]:
    """Compare an image that index.json gave for ``tag`` with what docker loads.

    Returns ambiguities, as in ``Image``. Raises InvalidImageError where docker takes another image.
    """
    if DOCKER_MANIFEST_FILE not in files:
        if REPOSITORIES_FILE in files:
            raise _disagreement(files, REPOSITORIES_FILE)
        return ()
    entries = read_docker_manifest(files)
    tagged = [found for found in read_index(files).manifests if tag and has_name(found, tag)]
    compared = [entry for entry in entries if any(_meet(entry, found) for found in tagged)] or entries
    manifest = parse_manifest(image.manifest_bytes, image.name)
    if not compared or not all(_is_image(files, entry, manifest) for entry in compared):
        raise _disagreement(files, DOCKER_MANIFEST_FILE)
    return tuple(item for entry in compared for item in entry.ambiguities)


def check_layout(
    files: TarFiles, entry: DockerEntry, platform: Platform, *, by_name: bool
) -> tuple[str, ...]:
    """Compare an entry of manifest.json, which was asked for ``by_name`` or is the only one, with index.json.

    Returns ambiguities, as in ``Image``. Raises InvalidImageError where containerd takes another image.
    """
    if INDEX_FILE not in files:
        return ()
    images = [
        found
        for found in without_signatures(read_index(files))
        if not found.platform or found.platform.may_run_on_amd64()
    ]
    compared = [found for found in images if by_name and _meet(entry, found)] or images
    ambiguities: list[str] = []
    for descriptor in {found.digest: found for found in compared}.values():
        image = image_at(files.name, descriptor, LayoutSource(files), platform)
        if not _is_image(files, entry, parse_manifest(image.manifest_bytes, image.name)):
            raise _disagreement(files, INDEX_FILE)
        ambiguities += image.ambiguities
    if not compared:
        raise _disagreement(files, INDEX_FILE)
    return tuple(ambiguities)


def _disagreement(files: TarFiles, where: str) -> InvalidImageError:
    other = DOCKER_MANIFEST_FILE if where == INDEX_FILE else INDEX_FILE
    return InvalidImageError(
        f"{files.name} is not the same image to all readers: {where} does not give that of {other}",
        hint="write the archive again with one tool, and one image in it",
    )


def _is_image(files: TarFiles, entry: DockerEntry, manifest: Manifest | Index) -> bool:
    if not isinstance(manifest, Manifest) or len(entry.layers) != len(manifest.layers):
        return False
    return _has_content(files, entry.config, manifest.config.digest, read=True) and all(
        _has_content(files, files.follow(path), layer.digest, read=False)
        for path, layer in zip(entry.layers, manifest.layers, strict=True)
    )


def _has_content(files: TarFiles, path: str, digest: Digest, *, read: bool) -> bool:
    """Compare a member with a digest; a blob of this name is compared whenever it is read as such."""
    if not read and posixpath.normpath(path) == blob_path(digest):
        return True
    try:
        return files.digest(path, algorithm_of(digest)) == digest
    except FileNotFoundError:
        return False


def _meet(entry: DockerEntry, found: Descriptor) -> bool:
    """Tell whether an entry of index.json has a name of the image; some writers state the tag alone."""
    if name := found.annotations.get(CONTAINERD_NAME):
        return long_name(name) in entry.names
    name = found.annotations.get(REF_NAME, "")
    return name != "" and (long_name(name) in entry.names or name in entry.name_ends)
