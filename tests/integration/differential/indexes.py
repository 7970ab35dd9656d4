"""Odd indexes: several images of which programs might take another one each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enclavize.oci import media_types
from enclavize.oci.digest import sha256_digest
from integration.differential.samples import EXECUTION, FILES, Kind, Layout
from support.images import build_image, file, write_layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.differential.samples import Laboratory
    from support.images import BuiltImage

RIGHT = build_image([FILES], config=EXECUTION)
WRONG = build_image(
    [FILES, [file("bin/hello", "another program\n", 0o755)]], config={"Entrypoint": ["/bin/evil"]}
)
OTHER = build_image([FILES], config=EXECUTION, platform=("linux", "arm64"))
AMD64 = {"os": "linux", "architecture": "amd64"}


def entry(image: BuiltImage, platform: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a descriptor as it stands in an index."""
    return {**image.descriptor.to_json(), **({"platform": platform} if platform else {}), **more}


def index(*entries: dict[str, Any], **more: Any) -> bytes:
    """Return an index with these descriptors."""
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries, **more}
    return json.dumps(document).encode()


def layout_of(laboratory: Laboratory, data: bytes, *more: bytes) -> Layout:
    """Write a layout whose only entry is this index; ``more`` are indexes that it lists."""
    path = write_layout(laboratory.folder / "layout", {"right": RIGHT, "wrong": WRONG, "other": OTHER})
    for blob in (data, *more):
        (path / "blobs" / "sha256" / sha256_digest(blob).removeprefix("sha256:")).write_bytes(blob)
    (path / "index.json").write_bytes(index(_descriptor(data, {"org.opencontainers.image.ref.name": "1"})))
    return Layout(path=path, tag="1", digest=sha256_digest(data), ways=("layout", "registry"))


def _descriptor(data: bytes, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mediaType": media_types.OCI_INDEX,
        "digest": sha256_digest(data),
        "size": len(data),
    }
    return found | ({"annotations": annotations} if annotations else {})


def kind(name: str, data: bytes, *more: bytes) -> Kind:
    """Return a kind with an index."""
    return Kind(
        name=f"index: {name}", writer="Python", make=lambda laboratory: layout_of(laboratory, data, *more)
    )


def platform(**members: str) -> dict[str, str]:
    """Return linux/amd64 with other members."""
    return {**AMD64, **members}


UNKNOWN = {"os": "unknown", "architecture": "unknown"}
ATTESTATION = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
_NESTED = index(entry(WRONG, AMD64))
_INNER = index(entry(RIGHT, AMD64))


def _two_entries_with_a_tag(laboratory: Laboratory) -> Layout:
    path = write_layout(laboratory.folder / "layout", {"1": RIGHT, "2": WRONG})
    found = json.loads((path / "index.json").read_bytes())
    for descriptor in found["manifests"]:
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (path / "index.json").write_bytes(json.dumps(found).encode())
    return Layout(path=path, tag="1")


def _two_entries_without_a_tag(laboratory: Laboratory) -> Layout:
    path = write_layout(laboratory.folder / "layout", {"": RIGHT, "1": WRONG})
    return Layout(path=path, tag="1", digest=WRONG.descriptor.digest)


KINDS = [
    kind(
        "several platforms",
        index(entry(OTHER, {"os": "linux", "architecture": "arm64", "variant": "v8"}), entry(RIGHT, AMD64)),
    ),
    kind(
        "attestations beside images",
        index(
            entry(WRONG, UNKNOWN, **ATTESTATION), entry(RIGHT, AMD64), entry(WRONG, UNKNOWN, **ATTESTATION)
        ),
    ),
    kind("amd64 twice", index(entry(RIGHT, AMD64), entry(WRONG, AMD64))),
    kind("the same image twice", index(entry(RIGHT, AMD64), entry(RIGHT, AMD64))),
    kind("x86_64 first", index(entry(WRONG, platform(architecture="x86_64")), entry(RIGHT, AMD64))),
    kind("x86-64 only", index(entry(RIGHT, platform(architecture="x86-64")))),
    kind("upper case", index(entry(WRONG, platform(architecture="AMD64")), entry(RIGHT, AMD64))),
    kind("a variant first", index(entry(WRONG, platform(variant="v3")), entry(RIGHT, AMD64))),
    kind("the variant v1", index(entry(WRONG, platform(variant="v1")), entry(RIGHT, AMD64))),
    kind(
        "features of the processor", index(entry(WRONG, {**AMD64, "features": ["sse4"]}), entry(RIGHT, AMD64))
    ),
    kind("no platform", index(entry(RIGHT))),
    kind("no platform, and two", index(entry(WRONG), entry(RIGHT, AMD64))),
    kind("a platform that is not the image's", index(entry(OTHER, AMD64))),
    kind("an index in an index", index(_descriptor(_INNER)), _INNER),
    kind("an index in an index, beside an image", index(_descriptor(_NESTED), entry(RIGHT, AMD64)), _NESTED),
    kind("members again in another case", index(entry(RIGHT, AMD64), Manifests=[entry(WRONG, AMD64)])),
    kind(
        "a platform again in another case",
        index(entry(WRONG, {**AMD64, "Architecture": "arm64"}), entry(RIGHT, AMD64)),
    ),
    kind(
        "an artifact beside the image",
        index(entry(WRONG, None, artifactType="application/x"), entry(RIGHT, AMD64)),
    ),
    kind(
        "both an index and a manifest",
        index(entry(RIGHT, AMD64), config=RIGHT.descriptor.to_json(), layers=[]),
    ),
    Kind(name="index: two entries with one tag", writer="Python", make=_two_entries_with_a_tag),
    Kind(name="index: an entry without a tag", writer="Python", make=_two_entries_without_a_tag),
]
