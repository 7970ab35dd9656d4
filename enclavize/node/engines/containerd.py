"""containerd: the container's record, the image that it names, its snapshot, and the content store."""

from __future__ import annotations

import hashlib
import io
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from enclavize.errors import EnclavizeError, MissingBlobError
from enclavize.node.engines.containerd_api import (
    CONTAINER,
    IMAGE,
    MOUNTS,
    SNAPSHOT,
    Connection,
    NotThereError,
)
from enclavize.node.engines.documents import MAX_BYTES
from enclavize.node.engines.elsewhere import Elsewhere
from enclavize.node.engines.found import FoundImage, moved, not_its_layers
from enclavize.node.engines.mounted import lower_folders
from enclavize.node.engines.pieces import PieceReader
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import parse_digest, sha256_digest, short
from enclavize.oci.document import parse_document
from enclavize.oci.media_types import CONFIG_TYPES, INDEX_TYPES, MANIFEST_TYPES
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.select import image_at
from enclavize.oci.stream import blob_name, read_verified, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from enclavize.node.engines.documents import Documents
    from enclavize.node.engines.found import AskedContainer
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.stream import Sink

_CRI_METADATA = "io.cri-containerd.container.metadata"
"""The extension in which CRI keeps which image was asked for (pkg/cri/store/container/metadata.go)."""

_DISCARD = "discard_unpacked_layers"
_DOCUMENTS = INDEX_TYPES | MANIFEST_TYPES | CONFIG_TYPES


class ContainerdEngine:
    """One namespace of a containerd."""

    has_pods = True

    def __init__(self, address: str, namespace: str, *, documents: Documents, fetches: bool = False) -> None:
        """``fetches``: layers that are not there any more come from the registry."""
        self._documents = documents
        self._address = address
        self._namespace = namespace
        self._fetches = fetches

    def find(self, container: AskedContainer) -> FoundImage:
        """Return the image whose chain of layers the container's snapshot lies on. Raises EnclavizeError."""
        with closing(self._connect()) as connection:
            record = connection.call(CONTAINER, id=container.id).container
            if not record.image:
                raise EnclavizeError(f"containerd names no image of the container {container.id}")
            try:
                entry = connection.call(IMAGE, id=record.image).image
            except NotThereError as error:
                raise moved(record.image) from error
            image = _open(entry.name, entry.target, ContentSource(connection, self._documents))
            config = sha256_digest(image.config_bytes)
            if _is_another(record, entry, config):
                raise moved(record.image)
            _check_snapshot(connection, record, image, container)
        return FoundImage(
            name=record.image,
            config_digest=config,
            labels=image.config.labels,
            open=lambda cache: self._opened(entry, cache),
            pulled=True,
        )

    def _opened(self, entry: Any, cache: BlobCache) -> Image:
        elsewhere = Elsewhere(entry.name, parse_digest(entry.target.digest), cache) if self._fetches else None
        return _open(entry.name, entry.target, ContentSource(self._connect(), self._documents, elsewhere))

    def _connect(self) -> Connection:
        return Connection(self._address, self._namespace)


def _open(name: str, target: Any, source: ContentSource) -> Image:
    descriptor = Descriptor(
        media_type=target.media_type, digest=parse_digest(target.digest), size=target.size
    )
    return image_at(name, descriptor, source, LINUX_AMD64)


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


def _check_snapshot(connection: Connection, record: Any, image: Image, container: AskedContainer) -> None:
    """Compare the container's root with its snapshot, and that with the layers. Raises EnclavizeError."""
    key = {"snapshotter": record.snapshotter, "key": record.snapshot_key}
    if connection.call(SNAPSHOT, **key).info.parent != chain_id(image.config.diff_ids):
        raise not_its_layers(image.name)
    mounts = connection.call(MOUNTS, **key).mounts
    if len(mounts) != 1 or not _is_mounted(mounts[0], container):
        raise not_its_layers(image.name)


def _is_mounted(mount: Any, container: AskedContainer) -> bool:
    if mount.type in ("bind", "rbind"):
        return container.seen(mount.source).samefile(container.seen(container.rootfs))
    wanted = [option.removeprefix("lowerdir=") for option in mount.options if option.startswith("lowerdir=")]
    return mount.type == "overlay" and [lower_folders(container)] == [text.split(":") for text in wanted]


def chain_id(diff_ids: Sequence[str]) -> str:
    """Return the name of the snapshot of layers on top of one another (image-spec, config.md, "ChainID")."""
    chain = ""
    for diff_id in diff_ids:
        chain = (
            f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}" if chain else str(diff_id)
        )
    return chain


class ContentSource:
    """containerd's content store, and where to get what is missing there."""

    origin = None
    remote = False

    def __init__(
        self, connection: Connection, documents: Documents, elsewhere: Elsewhere | None = None
    ) -> None:
        self._connection = connection
        self._documents = documents
        self._elsewhere = elsewhere

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a blob. Raises MissingBlobError."""
        what = f"layer {short(descriptor.digest)} in containerd"
        if descriptor.media_type in _DOCUMENTS and descriptor.size <= MAX_BYTES:
            return verified(io.BytesIO(self._document(descriptor)), descriptor, what, advance=advance)
        return self._open(descriptor, what, advance, sink)

    def _document(self, descriptor: Descriptor) -> bytes:
        data = self._documents.get(descriptor.digest)
        if data is None:
            what = blob_name(descriptor.digest)
            data = read_verified(self._open(descriptor, what, None, None), descriptor, what)
            self._documents.keep(descriptor.digest, data)
        return data

    def _open(
        self,
        descriptor: Descriptor,
        what: str,
        advance: Callable[[int], None] | None,
        sink: Sink | None,
    ) -> BinaryIO:
        pieces = self._connection.read(descriptor.digest)
        try:
            first = next(pieces, b"")
        except NotThereError as error:
            if self._elsewhere:
                return self._elsewhere.open_blob(descriptor, advance)
            raise MissingBlobError(
                f"containerd does not have {blob_name(descriptor.digest)} any more",
                hint=f"set {_DISCARD} = false for containerd's CRI, and pull the image again; or let the "
                "node's daemon fetch layers: enclavize node serve --fetch-layers",
            ) from error
        stream = PieceReader(pieces, first)
        return verified(stream, descriptor, what, advance=advance, sink=sink)

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Return the verified bytes of a manifest or index."""
        return read_verified(self.open_blob(descriptor), descriptor, blob_name(descriptor.digest))

    def close(self) -> None:
        """Close connections."""
        self._connection.close()
        if self._elsewhere:
            self._elsewhere.close()
