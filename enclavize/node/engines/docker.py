"""dockerd: the list of containers, and the image by its id. What names one container waits for its lock.

It keeps images itself, or has containerd keep them: then the list names the manifest that a container has
(since API 1.48), and manifest, layers and the container's root are containerd's.
"""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, UsageError
from enclavize.node.engines.containerd_images import Snapshot, check_root
from enclavize.node.engines.found import FoundImage, not_its_layers
from enclavize.node.engines.mounted import lower_folders
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import parse_digest, sha256_digest
from enclavize.oci.docker_archive import image_from_docker_files
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.reference import parse_reference
from enclavize.oci.storage import storage_errors
from enclavize.oci.tar_files import TarFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from enclavize.node.engines.containerd_images import ContainerdImages
    from enclavize.node.engines.found import AskedContainer
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image

_INIT_LAYER = "-init"
"""What dockerd puts between the image and a container: empty files for mounts."""


class DockerEngine:
    """A dockerd, and what the containerd below it keeps for it."""

    has_pods = False

    def __init__(self, host: str, images: ContainerdImages) -> None:
        self._host = host
        self._images = images

    def find(self, container: AskedContainer) -> FoundImage:
        """Return the image that the container was made from. Raises EnclavizeError."""
        with self._client() as client:
            listed = client.api.containers(all=True, filters={"id": container.id})
            record = next((item for item in listed if item.get("Id") == container.id), None)
            if record is None:
                raise EnclavizeError(f"dockerd at {self._host} has no container {container.id}")
            image_id = parse_digest(str(record.get("ImageID", "")))
            image = client.api.inspect_image(image_id)  # type: ignore[no-untyped-call]
            manifest = record.get("ImageManifestDescriptor")
            driver = str(client.info()["Driver"]) if manifest else ""
        name = _name(str(record.get("Image", "")), image)
        if manifest:
            return self._kept_below(name, Descriptor.from_json(manifest), driver, container)
        _check_layers(image, container)
        return FoundImage(
            name=name,
            config_digest=image_id,
            labels=dict((image.get("Config") or {}).get("Labels") or {}),
            open=lambda cache: self._saved(image_id, cache),
        )

    def _kept_below(
        self, name: str, manifest: Descriptor, snapshotter: str, container: AskedContainer
    ) -> FoundImage:
        """Return an image of containerd, which has no name for it in the container's record."""
        root = Snapshot(snapshotter=snapshotter, key=container.id, beneath=f"{container.id}{_INIT_LAYER}")
        with closing(self._images.connect()) as connection:
            image = self._images.read(connection, name or manifest.digest, manifest)
            check_root(connection, root, image, container)
        return FoundImage(
            name=name,
            config_digest=sha256_digest(image.config_bytes),
            labels=image.config.labels,
            open=lambda cache: self._images.open(name, manifest, cache),
        )

    def _saved(self, image_id: str, cache: BlobCache) -> Image:
        """Save an image to a nameless file and read it there."""
        spool = cache.spool()
        try:
            with self._client() as client:
                for data in client.api.get_image(image_id):
                    with storage_errors("write", cache.root):
                        spool.write(data)
            spool.seek(0)
            image = image_from_docker_files(image_id, TarFiles(spool, image_id), None, LINUX_AMD64)
            _require_own_store(image, image_id)
        except BaseException:
            spool.close()
            raise
        return image

    @contextmanager
    def _client(self) -> Iterator[docker.DockerClient]:
        import docker
        import requests

        try:
            client = docker.DockerClient(base_url=self._host)
            try:
                yield client
            finally:
                client.close()
        except docker.errors.APIError as error:
            raise EnclavizeError(f"dockerd at {self._host} says: {error.explanation or error}") from error
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise EnclavizeError(
                f"cannot talk to dockerd at {self._host}: {error}", hint="enclavize node serve --docker-host"
            ) from error


def _require_own_store(image: Image, image_id: str) -> None:
    """Raise EnclavizeError if ids are digests of manifests."""
    if sha256_digest(image.config_bytes) != image_id:
        raise EnclavizeError(
            "this dockerd keeps its images in containerd, and does not tell which of them a container has",
            hint="docker 28 and later do; or convert the image before: enclavize build IMAGE -t TEE_IMAGE",
        )


def _name(name: str, image: dict[str, Any]) -> str:
    """Return a container's name for its image in full, if it still means it: tags move. Else it has none."""
    with suppress(UsageError):
        wanted = str(parse_reference(name))
        known = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
        if wanted in [str(parse_reference(item)) for item in known]:
            return wanted
    return ""


def _check_layers(image: dict[str, Any], container: AskedContainer) -> None:
    """Compare the folders of an overlay with the image's. Other drivers copy, and leave nothing to compare.

    Raises EnclavizeError.
    """
    driver = image.get("GraphDriver") or {}
    data = driver.get("Data") or {}
    if driver.get("Name") != "overlay2":
        return
    mounted = lower_folders(container)
    wanted = [data.get("UpperDir") or "", *str(data.get("LowerDir") or "").split(":")]
    home = Path(wanted[0]).parents[1]  # of what is relative, where there are many layers
    found = [str((home / path).resolve()) for path in mounted or ()]  # through the short links in "l"
    own = [path for path in found if not path.removesuffix("/diff").endswith(_INIT_LAYER)]
    if own != [str(Path(path).resolve()) for path in wanted if path]:
        raise not_its_layers("its image")
