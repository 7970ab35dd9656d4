"""containerd: the container's record, the image that it names, and its snapshot."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError
from enclavize.node.engines.containerd_api import CONTAINER, IMAGE, NotThereError
from enclavize.node.engines.containerd_images import Snapshot, check_root
from enclavize.node.engines.found import FoundImage, moved
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import parse_digest, sha256_digest
from enclavize.oci.document import parse_document

if TYPE_CHECKING:
    from enclavize.node.engines.containerd_images import ContainerdImages
    from enclavize.node.engines.found import AskedContainer
    from enclavize.oci.digest import Digest

_CRI_METADATA = "io.cri-containerd.container.metadata"
"""The extension in which CRI keeps which image was asked for (pkg/cri/store/container/metadata.go)."""


class ContainerdEngine:
    """One namespace of a containerd, with records of containers."""

    has_pods = True

    def __init__(self, images: ContainerdImages) -> None:
        self._images = images

    def find(self, container: AskedContainer) -> FoundImage:
        """Return the image whose chain of layers the container's snapshot lies on. Raises EnclavizeError."""
        with closing(self._images.connect()) as connection:
            record = connection.call(CONTAINER, id=container.id).container
            if not record.image:
                raise EnclavizeError(f"containerd names no image of the container {container.id}")
            try:
                entry = connection.call(IMAGE, id=record.image).image
            except NotThereError as error:
                raise moved(record.image) from error
            name, target = str(entry.name), _descriptor(entry.target)
            image = self._images.read(connection, name, target)
            config = sha256_digest(image.config_bytes)
            if _is_another(record, entry, config):
                raise moved(record.image)
            root = Snapshot(snapshotter=record.snapshotter, key=record.snapshot_key)
            check_root(connection, root, image, container)
        return FoundImage(
            name=record.image,
            config_digest=config,
            labels=image.config.labels,
            open=lambda cache: self._images.open(name, target, cache),
            pulled=True,
        )


def _descriptor(target: Any) -> Descriptor:
    return Descriptor(media_type=target.media_type, digest=parse_digest(target.digest), size=target.size)


def _is_another(record: Any, entry: Any, config: Digest) -> bool:
    """Whether the name means another image than when the container was made.

    CRI notes the configuration's digest. Else the name must not have been touched since.
    """
    for extension in record.extensions:
        if extension.key == _CRI_METADATA:
            document = parse_document(extension.value.value, "CRI's metadata of the container")
            metadata = document.document("Metadata")
            return metadata is None or metadata.text("ImageRef") != config
    updated, created = entry.updated_at, record.created_at
    return bool((updated.seconds, updated.nanos) > (created.seconds, created.nanos))
