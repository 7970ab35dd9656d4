"""Image manifests and image indexes, OCI and Docker schema 2 (image-spec, manifest.md and image-index.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.oci.descriptor import DESCRIPTOR_SHAPE, Descriptor, platform_of
from enclavize.oci.document import Document, canonical_json, optional, parse_document
from enclavize.oci.limits import MAX_CONFIG_SIZE, MAX_INDEX_ENTRIES, MAX_LAYERS, MAX_MANIFEST_SIZE
from enclavize.oci.media_types import INDEX_TYPES, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST
from enclavize.oci.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.oci.platform import Platform

MANIFEST_SHAPE = Shape(
    names="schemaVersion mediaType artifactType annotations fsLayers history signatures name tag "
    "architecture",
    below={
        "config": DESCRIPTOR_SHAPE,
        "layers": DESCRIPTOR_SHAPE,
        "manifests": DESCRIPTOR_SHAPE,
        "subject": DESCRIPTOR_SHAPE,
    },
)
"""image-spec, manifest.md and image-index.md; distribution, manifest v2 schema 1 and 2."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An image manifest. ``media_type`` is never empty: a manifest that states none is an OCI one.

    ``misspelled`` are names that only some readers find (see ``Document``); ``oddities``: as in ``Image``.
    """

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]
    artifact_type: str
    subject: Descriptor | None
    misspelled: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An entry of an index that is of a kind not known here. ``platform`` is None if that is none, too."""

    reason: str
    platform: Platform | None


@dataclass(frozen=True, kw_only=True)
class Index:
    """An image index (Docker: manifest list). ``misspelled``: as in ``Manifest``."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    unreadable: tuple[Unreadable, ...] = ()
    misspelled: tuple[str, ...] = ()


def parse_manifest(data: bytes, what: str) -> Manifest | Index:
    """Parse a manifest or an index, whichever it is. Raises InvalidImageError.

    What a document is follows from its members. One that could be read both ways is refused, as is one that
    its own media type contradicts (CVE-2021-41190).
    """
    if len(data) > MAX_MANIFEST_SIZE:
        raise InvalidImageError(f"{what} is larger than {MAX_MANIFEST_SIZE} bytes")
    document = parse_document(data, what, MANIFEST_SHAPE)
    if document.members.get("schemaVersion") == 1 or "fsLayers" in document.members:
        raise InvalidImageError(
            f"{what} is a Docker schema 1 manifest, which cannot be verified",
            hint="push the image again with a current docker",
        )
    oddities: list[str] = []
    if document.members.get("schemaVersion") is None:
        oddities.append(f"{what} has no 'schemaVersion'")
    else:
        document.number("schemaVersion", maximum=2)
    media_type = document.text("mediaType")
    is_index = "manifests" in document.members
    if is_index == ("config" in document.members or "layers" in document.members):
        raise InvalidImageError(f"{what} is neither an image manifest nor an image index")
    if media_type and media_type not in (INDEX_TYPES if is_index else MANIFEST_TYPES):
        raise InvalidImageError(f"{what} says that it is of type {media_type[:200]!r}")
    if is_index:
        found = document.items("manifests")
        if len(found) > MAX_INDEX_ENTRIES:
            raise InvalidImageError(f"{what} has {len(found)} entries, more than {MAX_INDEX_ENTRIES}")
        entries = tuple(map(_entry, found))
        return Index(
            media_type=media_type or OCI_INDEX,
            manifests=tuple(entry for entry in entries if isinstance(entry, Descriptor)),
            unreadable=tuple(entry for entry in entries if isinstance(entry, Unreadable)),
            misspelled=document.misspelled,
        )
    config, layers = document.document("config"), document.documents("layers")
    if config is None:
        raise document.wrong("config", "a descriptor")
    config.number("size", maximum=MAX_CONFIG_SIZE)
    if len(layers) > MAX_LAYERS:
        raise InvalidImageError(f"{what} has {len(layers)} layers, more than {MAX_LAYERS}")
    return Manifest(
        media_type=media_type or OCI_MANIFEST,
        config=Descriptor.from_json(config, oddities=oddities),
        layers=tuple(Descriptor.from_json(layer, oddities=oddities) for layer in layers),
        annotations=document.labels("annotations", oddities),
        artifact_type=optional(lambda: document.text("artifactType"), "", oddities),
        subject=optional(lambda: _subject(document), None, oddities),
        misspelled=document.misspelled,
        oddities=tuple(oddities),
    )


def _subject(document: Document) -> Descriptor | None:
    """Return what a manifest is about, if it says so. No engine looks at it."""
    subject = document.document("subject")
    return Descriptor.from_json(subject) if subject else None


def _entry(document: Document) -> Descriptor | Unreadable:
    """Return an entry of an index. One of a strange kind does no harm to the others."""
    members = {"size": 0, **{key: value for key, value in document.members.items() if value is not None}}
    try:
        return Descriptor.from_json(Document(members, document.what), oddities=[])
    except InvalidImageError as error:
        reason = str(error)
    try:
        platform = platform_of(document)
    except InvalidImageError:
        platform = None
    return Unreadable(reason=reason, platform=platform)


def image_manifest(config: Descriptor, layers: tuple[Descriptor, ...]) -> bytes:
    """Return an OCI manifest for an image that came without one."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
    )
