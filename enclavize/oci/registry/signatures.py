"""Signatures of images in a registry: under the tag that cosign gives them, and as referrers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError, NotFoundError
from enclavize.oci.image_signature import (
    ARTIFACT_TYPE,
    SIGNATURE,
    SignatureImage,
    parse_signature_image,
    read_signature,
)
from enclavize.oci.limits import MAX_LAYERS, MAX_MANIFEST_SIZE
from enclavize.oci.manifest import Manifest, parse_manifest
from enclavize.oci.media_types import OCI_MANIFEST
from enclavize.oci.referrers import artifact_manifest, list_referrers, put_referrer
from enclavize.oci.registry.upload import push_bytes
from enclavize.oci.signature_tag import signature_tag
from enclavize.oci.stream import read_verified

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.oci.registry.client import RegistryClient


def find_signatures(
    client: RegistryClient, repository: str, signed: Digest
) -> Iterator[tuple[str, ImageSignature]]:
    """Yield the signatures of a manifest, each once, with the place where it is.

    Raises InvalidImageError, IntegrityError for what cannot be read, RegistryError.
    """

    def read(layer: Descriptor) -> bytes:
        try:
            return read_verified(client.open_blob(repository, layer), layer, "the payload of a signature")
        except NotFoundError as error:
            raise InvalidImageError(f"{client.registry} has a signature without its payload") from error

    seen: set[tuple[Digest, str]] = set()
    for place, layers in _images(client, repository, signed):
        for number, layer in enumerate(layers, 1):
            key = layer.digest, layer.annotations.get(SIGNATURE, "")
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > MAX_LAYERS:
                raise InvalidImageError(
                    f"{client.registry} has more than {MAX_LAYERS} signatures of an image"
                )
            what = f"signature {number} of {place}"
            yield what, read_signature(layer, what, read)


def push_signatures(
    client: RegistryClient, repository: str, subject: Descriptor, signatures: Iterable[ImageSignature]
) -> None:
    """Add signatures of a manifest to those that are there. Raises RegistryError, InvalidImageError.

    What is found by tag comes last, when all else is there. Two who sign the same image at the same time can
    undo one another's tag, as with cosign; no referrer is lost.
    """
    signatures = tuple(signatures)
    tag = signature_tag(subject.digest)
    image = _tagged(client, repository, tag).add(signatures)
    for signature in signatures:
        push_bytes(client, repository, signature.to_layer(), signature.payload)
    push_bytes(client, repository, image.config, image.config_bytes)
    put_referrer(client, repository, artifact_manifest(subject, ARTIFACT_TYPE, image.layers))
    client.put_manifest(repository, tag, OCI_MANIFEST, image.manifest_bytes)


def _images(
    client: RegistryClient, repository: str, signed: Digest
) -> Iterator[tuple[str, tuple[Descriptor, ...]]]:
    tag = signature_tag(signed)
    yield tag, _tagged(client, repository, tag).layers
    found = list_referrers(client, repository, signed, ARTIFACT_TYPE)
    if len(found) > MAX_LAYERS:
        raise InvalidImageError(f"{client.registry} lists more than {MAX_LAYERS} signatures of one image")
    for entry in found:
        what = f"the referrer {entry.digest}"
        if entry.size > MAX_MANIFEST_SIZE:
            raise InvalidImageError(f"{what} is larger than {MAX_MANIFEST_SIZE} bytes")
        try:
            _, data = client.get_manifest(repository, entry.digest)
        except NotFoundError as error:
            raise InvalidImageError(f"{client.registry} lists {what}, and does not have it") from error
        manifest = parse_manifest(data, what)
        subject = manifest.subject if isinstance(manifest, Manifest) else None
        if subject is None or subject.digest != signed:
            raise InvalidImageError(f"{what} does not refer to {signed}")
        yield what, parse_signature_image(data, what).layers


def _tagged(client: RegistryClient, repository: str, tag: str) -> SignatureImage:
    try:
        _, data = client.get_manifest(repository, tag)
    except NotFoundError:
        return SignatureImage(layers=())
    return parse_signature_image(data, f"{client.registry}/{repository}:{tag}")
