"""Signatures of images in an OCI layout: an entry of index.json under the tag that cosign gives them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.image_signature import SignatureImage, parse_signature_image, read_signature
from enclavize.oci.layout import (
    INDEX_FILE,
    REF_NAME,
    FolderFiles,
    LayoutSource,
    read_small,
    update_index,
    write_blob,
)
from enclavize.oci.limits import MAX_MANIFEST_SIZE
from enclavize.oci.manifest import Index, parse_manifest
from enclavize.oci.media_types import OCI_MANIFEST
from enclavize.oci.signature_tag import signature_tag
from enclavize.oci.stream import read_verified

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from enclavize.oci.digest import Digest
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.oci.layout import Files


def find_layout_signatures(files: Files, signed: Digest) -> Iterator[tuple[str, ImageSignature]]:
    """Yield the signatures of a manifest, each with the place where it is.

    Raises InvalidImageError, IntegrityError for what cannot be read.
    """
    source = LayoutSource(files)

    def read(layer: Descriptor) -> bytes:
        return read_verified(source.open_blob(layer), layer, f"{files.name}, the payload of a signature")

    index = parse_manifest(read_small(files, INDEX_FILE, MAX_MANIFEST_SIZE), f"{files.name}: {INDEX_FILE}")
    entries = index.manifests if isinstance(index, Index) else ()
    tag = signature_tag(signed)
    for number, layer in enumerate(_tagged(source, entries, tag).layers, 1):
        what = f"signature {number} of {tag}"
        yield what, read_signature(layer, what, read)


def add_layout_signatures(root: Path, signed: Digest, signatures: Iterable[ImageSignature]) -> None:
    """Add signatures of a manifest to those that are in a layout. Raises InvalidImageError."""
    update_index(root, lambda old: [signature_entry(root, old, signed, signatures)])


def signature_entry(
    root: Path, entries: Sequence[Descriptor], signed: Digest, signatures: Iterable[ImageSignature]
) -> dict[str, Any]:
    """Write the blobs of signatures beside the old ones; return the entry that index.json gets for all."""
    signatures = tuple(signatures)
    tag = signature_tag(signed)
    image = _tagged(LayoutSource(FolderFiles(root)), entries, tag).add(signatures)
    manifest = image.manifest_bytes
    blobs = [signature.payload for signature in signatures]
    for data in (*blobs, image.config_bytes, manifest):
        descriptor = Descriptor(media_type="", digest=sha256_digest(data), size=len(data))
        write_blob(root, descriptor, io.BytesIO(data))
    return Descriptor(
        media_type=OCI_MANIFEST,
        digest=sha256_digest(manifest),
        size=len(manifest),
        annotations={REF_NAME: tag},
    ).to_json()


def _tagged(source: LayoutSource, entries: Sequence[Descriptor], tag: str) -> SignatureImage:
    found = {entry.digest: entry for entry in entries if entry.annotations.get(REF_NAME) == tag}
    if not found:
        return SignatureImage(layers=())
    if len(found) > 1:
        raise InvalidImageError(f"there are {len(found)} images {tag} in the layout")
    (entry,) = found.values()
    if entry.size > MAX_MANIFEST_SIZE:
        raise InvalidImageError(f"{tag}: a manifest of {entry.size} bytes is too large")
    return parse_signature_image(source.read_manifest(entry), tag)
