"""What an image signature signs: a name and a manifest digest, as simple signing, as cosign writes it.

    {"critical":{"identity":{"docker-reference":NAME},"image":{"docker-manifest-digest":"sha256:HEX"},
     "type":"cosign container image signature"},"optional":null}

Sources: cosign's SIGNATURE_SPEC.md, "Payloads"; containers-signature(5), "JSON data format".

SIGSTRUCT is signed with the same keys and the same algorithm, so nobody may choose what is signed here:
signers take name and digest, check both, and build the bytes themselves with ``build_payload``. These begin
with ``{"critical"``, where signing material begins with ``sgx.sigstruct.HEADER``: one is never the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError, UsageError
from enclavize.oci.digest import algorithm_of, parse_digest
from enclavize.oci.document import canonical_json, parse_document
from enclavize.oci.image_signature import MAX_PAYLOAD_SIZE
from enclavize.oci.reference import parse_reference

if TYPE_CHECKING:
    from enclavize.oci.digest import Digest
    from enclavize.oci.document import Document
    from enclavize.oci.reference import ImageReference

TYPE = "cosign container image signature"

MAX_SIGNED_NAME = 512
"""Characters of a name that is signed: more than any registry takes."""


@dataclass(frozen=True, kw_only=True)
class ImagePayload:
    """What somebody signed. ``identity`` may have a tag or a digest; cosign's has neither."""

    identity: ImageReference
    digest: Digest

    @property
    def name(self) -> str:
        """Registry and repository."""
        return self.identity.name


def build_payload(name: str, digest: str) -> bytes:
    """Return the bytes to sign: the same for the same name and digest.

    ``name`` is registry and repository in full, without tag and digest; ``digest`` is the SHA-256 of the
    manifest. Raises UsageError for everything else.
    """
    if not is_whole_name(name):
        raise UsageError(
            f"{name[:100]!r} cannot be signed: it is not the whole name of a repository",
            hint="write it like registry.example/team/app, without a tag",
        )
    if not _is_sha256(digest):
        raise UsageError(f"{digest[:100]!r} cannot be signed: it is no sha256 digest of a manifest")
    return canonical_json(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": digest},
                "type": TYPE,
            },
            "optional": None,
        }
    )


def is_whole_name(text: str) -> bool:
    """Whether a text is registry and repository in full, without tag and digest."""
    try:
        return len(text) <= MAX_SIGNED_NAME and parse_reference(text).name == text
    except UsageError:
        return False


def _is_sha256(text: str) -> bool:
    try:
        return algorithm_of(parse_digest(text)) == "sha256"
    except InvalidImageError:
        return False


def parse_payload(data: bytes, what: str) -> ImagePayload:
    """Read a payload of whatever tool: ours, cosign's, skopeo's. ``what`` names it in errors.

    The members must be those of the format and no others, as containers/image insists; ``optional`` is not
    looked into. Raises InvalidImageError.
    """
    if len(data) > MAX_PAYLOAD_SIZE:
        raise InvalidImageError(f"{what} is larger than {MAX_PAYLOAD_SIZE} bytes")
    document = parse_document(data, what)
    _check_members(document, "critical", "optional")
    _ = document.document("optional")
    critical = _part(document, "critical", "identity", "image", "type")
    identity = _part(critical, "identity", "docker-reference")
    image = _part(critical, "image", "docker-manifest-digest")
    if critical.text("type") != TYPE:
        raise InvalidImageError(f"{what} is of another type than {TYPE!r}")
    try:
        return ImagePayload(
            identity=parse_reference(identity.text("docker-reference")),
            digest=parse_digest(image.text("docker-manifest-digest")),
        )
    except (UsageError, InvalidImageError) as error:
        raise InvalidImageError(f"{what}: {error}") from error


def _part(document: Document, key: str, *members: str) -> Document:
    part = document.document(key)
    if part is None:
        raise document.wrong(key, "an object")
    _check_members(part, *members)
    return part


def _check_members(document: Document, *expected: str) -> None:
    if set(document.members) != set(expected):
        raise InvalidImageError(f"{document.what} does not have just the members {', '.join(expected)}")
