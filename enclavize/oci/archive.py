"""Images in tar files of an OCI layout."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.oci.agreement import check_docker_manifest
from enclavize.oci.layout import image_from_layout
from enclavize.oci.tar_files import open_archive

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.oci.platform import Platform


def image_from_oci_archive(
    name: str, path: Path, tag: str | None, platform: Platform, cache: BlobCache
) -> Image:
    """Find an image in a tar file of an OCI layout. Raises InvalidImageError, IntegrityError."""
    files = open_archive(path, cache)
    try:
        image = image_from_layout(name, files, tag, platform)
        ambiguities = check_docker_manifest(files, image, tag)
        return replace(
            image, ambiguities=(*image.ambiguities, *ambiguities), archive_size=files.compressed_size
        )
    except BaseException:
        files.close()
        raise
