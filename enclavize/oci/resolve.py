"""The pipeline's first stage: find an image where a location says that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from enclavize.errors import RegistryError
from enclavize.oci.location import (
    DaemonLocation,
    DirectoryLocation,
    DockerArchiveLocation,
    LayoutLocation,
    OciArchiveLocation,
    RegistryLocation,
    hint_of_path,
)
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.reference import DEFAULT_TAG

if TYPE_CHECKING:
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.oci.location import (
        Location,
    )
    from enclavize.oci.platform import Platform
    from enclavize.oci.registry.credentials import Credentials
    from enclavize.progress import Reporter, Task


def resolve(
    location: Location,
    platform: Platform = LINUX_AMD64,
    *,
    cache: BlobCache,
    auth: Credentials | None = None,
    insecure: bool = False,
    reporter: Reporter,
) -> Image:
    """Find an image and read its manifest and configuration, not its layers (``dir:`` is read whole).

    ``auth`` is docker's configuration where it is not given. ``insecure`` allows plain HTTP and unknown
    certificates. Close ``image.source`` when done. Raises EnclavizeError.
    """
    with reporter.task(f"resolve {location}") as task:
        image = _resolve(location, platform, task, cache=cache, auth=auth, insecure=insecure)
        for oddity in image.oddities:
            task.warn(oddity)
        return image


def _resolve(
    location: Location,
    platform: Platform,
    task: Task,
    *,
    cache: BlobCache,
    auth: Credentials | None,
    insecure: bool,
) -> Image:
    match location:
        case RegistryLocation(reference):
            from enclavize.oci.registry.source import image_from_registry

            try:
                return image_from_registry(reference, platform, auth=auth, insecure=insecure, warn=task.warn)
            except RegistryError as error:
                error.hint = hint_of_path(reference.familiar.removesuffix(f":{DEFAULT_TAG}")) or error.hint
                raise
        case LayoutLocation(path, tag):
            from enclavize.oci.layout import FolderFiles, image_from_layout

            return image_from_layout(str(location), FolderFiles(path), tag, platform)
        case OciArchiveLocation(path, tag):
            from enclavize.oci.archive import image_from_oci_archive

            return image_from_oci_archive(str(location), path, tag, platform, cache)
        case DockerArchiveLocation(path, wanted):
            from enclavize.oci.docker_archive import image_from_docker_archive

            return image_from_docker_archive(str(location), path, wanted, platform, cache)
        case DaemonLocation(reference):
            from enclavize.oci.daemon import image_from_daemon

            return image_from_daemon(reference, platform, cache, task)
        case DirectoryLocation(path, execution):
            from enclavize.oci.directory import image_from_directory
            from enclavize.oci.execution import NOTHING

            return image_from_directory(path, execution or NOTHING, platform, cache, task)
        case _:
            assert_never(location)
