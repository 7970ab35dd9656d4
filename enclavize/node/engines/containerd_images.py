"""containerd's images: manifests and layers in its content store, and the snapshots that are made of them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from enclavize.errors import MissingBlobError
from enclavize.node.engines.containerd_api import MOUNTS, SNAPSHOT, Connection, NotThereError
from enclavize.node.engines.documents import MAX_BYTES
from enclavize.node.engines.elsewhere import Elsewhere
from enclavize.node.engines.found import not_its_layers
from enclavize.node.engines.mounted import lower_folders
from enclavize.node.engines.pieces import PieceReader
from enclavize.oci.digest import short
from enclavize.oci.media_types import CONFIG_TYPES, INDEX_TYPES, MANIFEST_TYPES
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.select import image_at
from enclavize.oci.stream import blob_name, read_verified, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from enclavize.node.engines.documents import Documents
    from enclavize.node.engines.found import AskedContainer
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.oci.stream import Sink

_DISCARD = "discard_unpacked_layers"
_DOCUMENTS = INDEX_TYPES | MANIFEST_TYPES | CONFIG_TYPES


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The root of a container. ``beneath``: what its engine may have put between it and the layers."""

    snapshotter: str
    key: str
    beneath: str = ""


class ContainerdImages:
    """The images in one namespace of a containerd."""

    def __init__(self, address: str, namespace: str, *, documents: Documents, fetches: bool = False) -> None:
        """``fetches``: layers that are not there any more come from the registry."""
        self._address = address
        self._namespace = namespace
        self._documents = documents
        self._fetches = fetches

    def connect(self) -> Connection:
        """Return a connection, for the caller to close."""
        return Connection(self._address, self._namespace)

    def read(self, connection: Connection, name: str, target: Descriptor) -> Image:
        """Read manifest and configuration over an open connection. Raises EnclavizeError."""
        return image_at(name, target, ContentSource(connection, self._documents), LINUX_AMD64)

    def open(self, name: str, target: Descriptor, cache: BlobCache) -> Image:
        """Read them over a connection that the image's source has. ``name``: where missing layers are.

        Raises EnclavizeError.
        """
        elsewhere = Elsewhere(name, target.digest, cache) if self._fetches and name else None
        source = ContentSource(self.connect(), self._documents, elsewhere)
        return image_at(name, target, source, LINUX_AMD64)


def check_root(connection: Connection, root: Snapshot, image: Image, container: AskedContainer) -> None:
    """Compare the container's root with its snapshot, and that with the layers. Raises EnclavizeError."""
    parent = _parent(connection, root.snapshotter, root.key)
    if root.beneath and parent == root.beneath:
        parent = _parent(connection, root.snapshotter, parent)
    if parent != chain_id(image.config.diff_ids):
        raise not_its_layers(image.name)
    mounts = connection.call(MOUNTS, snapshotter=root.snapshotter, key=root.key).mounts
    if len(mounts) != 1 or not _is_mounted(mounts[0], container):
        raise not_its_layers(image.name)


def _parent(connection: Connection, snapshotter: str, key: str) -> str:
    return str(connection.call(SNAPSHOT, snapshotter=snapshotter, key=key).info.parent)


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
