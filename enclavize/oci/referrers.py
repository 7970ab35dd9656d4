"""Artifacts that refer to an image, such as bills of materials (distribution-spec, "Listing Referrers").

A registry without that API, such as docker-registry 2.8, keeps the list as an image index under the tag
``sha256-<hex>`` of the subject; it is the client's duty to maintain it ("Pushing Manifests with Subject").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.errors import NotFoundError, RegistryError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import algorithm_of, hex_of, sha256_digest
from enclavize.oci.document import canonical_json, parse_document
from enclavize.oci.limits import MAX_MANIFEST_SIZE
from enclavize.oci.manifest import MANIFEST_SHAPE, Index, Manifest, parse_manifest
from enclavize.oci.media_types import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from enclavize.oci.registry.upload import push_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.oci.digest import Digest
    from enclavize.oci.registry.client import RegistryClient

EMPTY_BLOB = b"{}"
"""The configuration of an artifact that has none (image-spec, manifest.md, "empty descriptor")."""

TITLE = "org.opencontainers.image.title"
"""The annotation that holds the file name of an artifact's blob; oras writes files under it."""

MAX_PAGES = 100

_NEXT_PAGE = re.compile(r'<([^<>]+)>\s*;\s*rel="?next"?')


@dataclass(frozen=True, kw_only=True)
class ArtifactBlob:
    """One file of an artifact."""

    title: str
    media_type: str
    data: bytes

    def to_layer(self) -> Descriptor:
        """Return the descriptor of the layer that is the file."""
        return replace(_descriptor(self.media_type, self.data), annotations={TITLE: self.title})


def artifact_manifest(
    subject: Descriptor,
    artifact_type: str,
    layers: tuple[Descriptor, ...],
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """Return the manifest of an artifact: the same bytes for the same content."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": _descriptor(OCI_EMPTY, EMPTY_BLOB).to_json(),
            "layers": [layer.to_json() for layer in layers],
            "subject": replace(subject, annotations={}, platform=None).to_json(),
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def push_referrer(
    client: RegistryClient,
    repository: str,
    subject: Descriptor,
    *,
    artifact_type: str,
    blobs: tuple[ArtifactBlob, ...],
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Store an artifact that refers to ``subject``; returns the descriptor of its manifest."""
    for blob in blobs:
        push_bytes(client, repository, _descriptor(blob.media_type, blob.data), blob.data)
    data = artifact_manifest(subject, artifact_type, tuple(blob.to_layer() for blob in blobs), annotations)
    return put_referrer(client, repository, data)


def put_referrer(client: RegistryClient, repository: str, data: bytes) -> Descriptor:
    """Store the manifest of an artifact whose layers are there; returns its descriptor."""
    artifact = parse_manifest(data, "the manifest of an artifact")
    assert isinstance(artifact, Manifest)
    push_bytes(client, repository, artifact.config, EMPTY_BLOB)
    return put_with_subject(client, repository, data)


def put_with_subject(client: RegistryClient, repository: str, data: bytes) -> Descriptor:
    """Store a manifest that refers to another one, and whose blobs are there; returns its descriptor."""
    artifact = parse_manifest(data, "the manifest of an artifact")
    assert isinstance(artifact, Manifest)
    assert artifact.subject is not None
    manifest = _descriptor(OCI_MANIFEST, data)
    if not client.put_manifest(repository, manifest.digest, OCI_MANIFEST, data):
        entry = replace(manifest, artifact_type=artifact.artifact_type, annotations=artifact.annotations)
        _add_to_tag(client, repository, artifact.subject.digest, entry)
    return manifest


def list_referrers(
    client: RegistryClient, repository: str, subject: Digest, artifact_type: str | None = None
) -> tuple[Descriptor, ...]:
    """Return the artifacts that refer to a manifest, those of one type if it is given."""
    try:
        found = _ask_registry(client, repository, subject)
    except NotFoundError:
        found = _read_tag(client, repository, subject)
    # A registry need not filter, and an old one cannot: it is done here.
    return tuple(entry for entry in found if artifact_type in (None, entry.artifact_type))


def referrers_tag(subject: Digest) -> str:
    """Return the tag of the list where there is no API."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{algorithm_of(subject)[:32]}-{hex_of(subject)[:64]}")


def _ask_registry(client: RegistryClient, repository: str, subject: Digest) -> list[Descriptor]:
    found: list[Descriptor] = []
    path = f"{repository}/referrers/{subject}"
    for _ in range(MAX_PAGES):
        data, link = client.get_document(path, repository, OCI_INDEX, MAX_MANIFEST_SIZE)
        found += _entries(data, f"the referrers of {subject}")
        following = _NEXT_PAGE.search(link)
        if not following:
            return found
        path = following[1].partition("/v2/")[2]
        if not path.startswith(f"{repository}/referrers/"):
            break
    raise RegistryError(f"{client.registry} does not end the list of referrers of {subject}")


def _read_tag(client: RegistryClient, repository: str, subject: Digest) -> list[Descriptor]:
    try:
        _, data = client.get_manifest(repository, referrers_tag(subject))
    except NotFoundError:
        return []
    return _entries(data, f"the referrers of {subject}")


def _entries(data: bytes, what: str) -> list[Descriptor]:
    index = parse_manifest(data, what)
    if not isinstance(index, Index):
        raise RegistryError(f"{what}: the registry gives an image and not a list")
    return list(index.manifests)


def _add_to_tag(client: RegistryClient, repository: str, subject: Digest, entry: Descriptor) -> None:
    """Add an entry to the list; those of others are kept as they are, of whatever kind."""
    try:
        _, known = client.get_manifest(repository, referrers_tag(subject))
    except NotFoundError:
        known = canonical_json({"schemaVersion": 2, "manifests": []})
    _entries(known, f"the referrers of {subject}")
    document = parse_document(known, f"the referrers of {subject}", MANIFEST_SHAPE)
    kept = [
        item.members for item in document.items("manifests") if item.members.get("digest") != entry.digest
    ]
    manifests = [*kept, entry.to_json()]
    data = canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
    client.put_manifest(repository, referrers_tag(subject), OCI_INDEX, data)


def _descriptor(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type=media_type, digest=sha256_digest(data), size=len(data))
