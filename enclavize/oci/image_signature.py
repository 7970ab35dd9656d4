"""Signatures of images, as cosign stores them: an image beside the image, one layer for each signature.

The tag is ``sha256-HEX.sig`` for the digest of the signed manifest. A layer is the payload that was signed;
its descriptor has the signature, in base64, as an annotation. The same layers are in an artifact that refers
to the signed manifest, for whoever looks for referrers and not for tags.

Source: cosign's SIGNATURE_SPEC.md, "Storage"; the type of the artifact is cosign's for
``COSIGN_EXPERIMENTAL=1`` with ``--registry-referrers-mode=oci-1-1``.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.document import canonical_json
from enclavize.oci.limits import MAX_LAYERS
from enclavize.oci.manifest import Manifest, image_manifest, parse_manifest
from enclavize.oci.media_types import OCI_CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"

MAX_PAYLOAD_SIZE = 16 << 10
"""Bytes of one payload: others than this project add claims of their own."""

MAX_SIGNATURE_SIZE = 4096
"""Characters of one signature in base64: of RSA with 16384 bits, 2732."""


@dataclass(frozen=True, kw_only=True)
class ImageSignature:
    """A payload and its signature, in the form that the key's algorithm gives it. Nothing is verified."""

    payload: bytes
    signature: bytes

    def to_layer(self) -> Descriptor:
        """Return the descriptor of the layer that is the payload."""
        return Descriptor(
            media_type=PAYLOAD_TYPE,
            digest=sha256_digest(self.payload),
            size=len(self.payload),
            annotations={SIGNATURE: base64.b64encode(self.signature).decode()},
        )


@dataclass(frozen=True, kw_only=True)
class SignatureImage:
    """What is stored under the tag: manifest, configuration, and the layers' descriptors."""

    layers: tuple[Descriptor, ...]

    @property
    def config_bytes(self) -> bytes:
        """The configuration, which says nothing but what must be in one."""
        return canonical_json(
            {
                "architecture": "",
                "config": {},
                "created": "0001-01-01T00:00:00Z",
                "os": "",
                "rootfs": {"diff_ids": [layer.digest for layer in self.layers], "type": "layers"},
            }
        )

    @property
    def config(self) -> Descriptor:
        """The descriptor of the configuration."""
        data = self.config_bytes
        return Descriptor(media_type=OCI_CONFIG, digest=sha256_digest(data), size=len(data))

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest."""
        return image_manifest(self.config, self.layers)

    def add(self, signatures: Iterable[ImageSignature]) -> SignatureImage:
        """Return the image with more signatures; those that it has already are not added again.

        Raises InvalidImageError if it would have too many.
        """
        layers = list(self.layers)
        for signature in signatures:
            layer = signature.to_layer()
            if not any(_is_same(layer, old) for old in layers):
                layers.append(layer)
        if len(layers) > MAX_LAYERS:
            raise InvalidImageError(f"the image would have more than {MAX_LAYERS} signatures")
        return replace(self, layers=tuple(layers))


def parse_signature_image(data: bytes, what: str) -> SignatureImage:
    """Read the manifest of signatures, from under the tag or an artifact's. Raises InvalidImageError."""
    manifest = parse_manifest(data, what)
    if not isinstance(manifest, Manifest):
        raise InvalidImageError(f"{what} is an image index, and not an image of signatures")
    if manifest.misspelled:
        raise InvalidImageError(
            f"{what} has the member {manifest.misspelled[0][:100]!r}, which has no meaning"
        )
    if not manifest.layers:
        raise InvalidImageError(f"{what} is an image of signatures without any")
    return SignatureImage(layers=manifest.layers)


def read_signature(layer: Descriptor, what: str, read: Callable[[Descriptor], bytes]) -> ImageSignature:
    """Read one signature; ``read`` gives the verified bytes of the layer. Raises InvalidImageError."""
    if layer.media_type != PAYLOAD_TYPE:
        raise InvalidImageError(f"{what} is of type {layer.media_type[:200]!r}, not {PAYLOAD_TYPE}")
    if layer.size > MAX_PAYLOAD_SIZE:
        raise InvalidImageError(f"{what} has a payload of more than {MAX_PAYLOAD_SIZE} bytes")
    text = layer.annotations.get(SIGNATURE, "")
    try:
        signature = base64.b64decode(text, validate=True) if len(text) <= MAX_SIGNATURE_SIZE else b""
    except (ValueError, binascii.Error):
        signature = b""
    if not signature:
        raise InvalidImageError(f"{what} has no signature in base64 in {SIGNATURE}")
    return ImageSignature(payload=read(layer), signature=signature)


def _is_same(one: Descriptor, other: Descriptor) -> bool:
    return one.digest == other.digest and one.annotations.get(SIGNATURE) == other.annotations.get(SIGNATURE)
