"""The docker daemon, by docker's own SDK: ``docker save`` and ``docker load``, streamed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.oci.archive_target import ArchiveStyle, archive_chunks
from enclavize.oci.docker_archive import image_from_docker_files
from enclavize.oci.media_types import layer_compression
from enclavize.oci.storage import storage_errors
from enclavize.oci.tar_files import TarFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.oci.platform import Platform
    from enclavize.oci.reference import ImageReference
    from enclavize.oci.target import ImageToWrite
    from enclavize.progress import Reporter, Task


@contextmanager
def _connection() -> Iterator[docker.DockerClient]:
    """Connect as DOCKER_HOST says, and put the SDK's errors into words."""
    import docker
    import requests

    try:
        client = docker.from_env()
        try:
            yield client
        finally:
            client.close()
    except docker.errors.NotFound as error:
        raise EnclavizeError(
            f"the docker daemon has no such image: {error.explanation}", hint="see: docker image ls"
        ) from error
    except docker.errors.APIError as error:
        raise EnclavizeError(f"the docker daemon says: {error.explanation or error}") from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise EnclavizeError(
            f"cannot talk to the docker daemon: {error}", hint="is it running, and DOCKER_HOST right?"
        ) from error


def image_from_daemon(reference: ImageReference, platform: Platform, cache: BlobCache, task: Task) -> Image:
    """Save an image to a nameless file on the cache's disk and read it there."""
    spool = cache.spool()
    try:
        name = f"docker-daemon:{reference.familiar}"
        with _connection() as client:
            for data in client.api.get_image(reference.familiar):
                with storage_errors("write", cache.root):
                    spool.write(data)
                task.advance(len(data))
        spool.seek(0)
        return image_from_docker_files(name, TarFiles(spool, name), None, platform)
    except BaseException:
        spool.close()
        raise


class DaemonTarget:
    """Loads an image into the docker daemon."""

    def deliver(self, image: ImageToWrite, reporter: Reporter) -> Descriptor:
        """Stream the image to the daemon, under its references."""
        with reporter.task("load into docker") as task, _connection() as client:
            # load_image reports the daemon's progress; only the last word tells whether it has worked.
            data = archive_chunks(image, ArchiveStyle.DOCKER, task.advance)
            answers = client.api.load_image(data)  # type: ignore[no-untyped-call]
            compressions = {layer_compression(layer.descriptor.media_type) for layer in image.layers}
            hint = "docker before 23.0 does not read zstd layers" if "zstd" in compressions else None
            for answer in answers:
                if "error" in answer:
                    raise EnclavizeError(f"docker cannot load the image: {answer['error']}", hint=hint)
        return image.manifest
