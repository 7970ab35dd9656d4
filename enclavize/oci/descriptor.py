"""Descriptors: media type, digest and size of a piece of content (image-spec, descriptor.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.oci.digest import parse_digest
from enclavize.oci.document import Document
from enclavize.oci.limits import MAX_BLOB_SIZE
from enclavize.oci.platform import Platform
from enclavize.oci.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.oci.digest import Digest

DESCRIPTOR_SHAPE = Shape(
    names="mediaType digest size urls annotations data artifactType",
    below={"platform": Shape(names="architecture os os.version os.features variant features")},
)
"""image-spec, descriptor.md; ``features`` of the platform is docker's."""


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """What identifies a blob or manifest. ``size`` is in bytes; 0 of a manifest: its index does not tell."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    artifact_type: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        result: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            result["artifactType"] = self.artifact_type
        if self.platform:
            result["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                result["platform"]["variant"] = self.platform.variant
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        return result

    @classmethod
    def from_json(
        cls,
        value: Document | Mapping[str, Any],
        what: str = "descriptor",
        *,
        oddities: list[str] | None = None,
    ) -> Descriptor:
        """Check and convert the JSON object. Raises InvalidImageError.

        With ``oddities``, malformed annotations are left out, and told to it.
        """
        document = value if isinstance(value, Document) else Document(value, what)
        return cls(
            media_type=document.text("mediaType"),
            digest=parse_digest(document.text("digest")),
            size=document.number("size", maximum=MAX_BLOB_SIZE),
            annotations=document.text_map("annotations")
            if oddities is None
            else document.labels("annotations", oddities),
            platform=platform_of(document),
            artifact_type=document.text("artifactType"),
        )


def platform_of(descriptor: Document) -> Platform | None:
    """Return the platform that a descriptor states, if it does. Raises InvalidImageError."""
    platform = descriptor.document("platform")
    if platform is None:
        return None
    return Platform(
        os=platform.text("os"), architecture=platform.text("architecture"), variant=platform.text("variant")
    )
