"""``enclavize sign image``, and the same in two steps: images that are somewhere already."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError, UsageError
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.image_signature import MAX_PAYLOAD_SIZE, ImageSignature
from enclavize.oci.location import LayoutLocation, RegistryLocation
from enclavize.oci.reference import parse_reference
from enclavize.oci.source import SignatureStore
from enclavize.pipeline.image_signing import SignedImage, image_signer, sign_names
from enclavize.pipeline.sign import opened_image
from enclavize.signing.image_keys import is_signed_by, load_image_public_key
from enclavize.signing.image_payload import build_payload, parse_payload
from enclavize.signing.two_step import read_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.location import Location
    from enclavize.pipeline.options import KeySigner, ServiceSigner
    from enclavize.progress import Reporter


def sign_stored_image(
    location: Location,
    key: KeySigner | ServiceSigner,
    name: str | None,
    *,
    insecure: bool,
    reporter: Reporter,
) -> SignedImage:
    """Sign an image where it is, and put the signature beside it; those that are there are kept.

    ``name`` is signed; None: the one under which the image is in its registry. Raises EnclavizeError.
    """
    name = _signed_name(location, name)
    signer = image_signer(key)
    with (
        _signable(location, insecure=insecure, reporter=reporter) as (store, subject),
        reporter.task("sign the image"),
    ):
        signed = sign_names(signer, [name], subject.digest)
        store.add_signatures(subject, signed.signatures.values())
    return signed


def payload_to_sign(location: Location, name: str | None, *, insecure: bool, reporter: Reporter) -> bytes:
    """Return what somebody elsewhere is to sign. Raises EnclavizeError."""
    name = _signed_name(location, name)
    with _signable(location, insecure=insecure, reporter=reporter) as (_, subject):
        return build_payload(name, subject.digest)


@dataclass(frozen=True, kw_only=True)
class SignedPayload:
    """Files that came back: the payload, its signature, and the key that made it."""

    payload: Path
    signature: Path
    public_key: Path


def attach_to_stored_image(
    location: Location, files: SignedPayload, name: str | None, *, insecure: bool, reporter: Reporter
) -> SignedImage:
    """Put a signature that came back beside its image. Raises EnclavizeError; nothing is changed then."""
    name = _signed_name(location, name)
    key = load_image_public_key(files.public_key)
    signature = ImageSignature(
        payload=_read_payload(files.payload), signature=read_signature(files.signature)
    )
    what = f"The payload {files.payload}"
    payload = parse_payload(signature.payload, what)
    if payload.name != name:
        raise IntegrityError(f"{what} is for the name {payload.name}, and not for {name}")
    if not is_signed_by(key, signature.payload, signature.signature):
        raise IntegrityError(
            f"{files.signature} is no signature of {files.payload} and the key {files.public_key}",
            hint="An RSA key signs with SHA-256 and PKCS#1 v1.5, one on P-256 with SHA-256 and in DER.",
        )
    with _signable(location, insecure=insecure, reporter=reporter) as (store, subject):
        if payload.digest != subject.digest:
            raise IntegrityError(
                f"{what} is for the manifest {payload.digest}, and that of the image is {subject.digest}"
            )
        with reporter.task("attach the signature"):
            store.add_signatures(subject, [signature])
    return SignedImage(digest=subject.digest, key=key, signatures={name: signature})


def _signed_name(location: Location, name: str | None) -> str:
    if not isinstance(location, RegistryLocation | LayoutLocation):
        raise UsageError(
            f"{location} has no room for an image signature",
            hint="sign the image in a registry, or in an OCI layout: oci:DIR",
        )
    if name is not None:
        return parse_reference(name).name
    if isinstance(location, RegistryLocation):
        return location.reference.name
    raise UsageError("an image signature signs a name, and there is none", hint="add --image-name NAME")


@contextmanager
def _signable(
    location: Location, *, insecure: bool, reporter: Reporter
) -> Iterator[tuple[SignatureStore, Descriptor]]:
    """Open a TEE image that does not contradict itself; yields where signatures go, and what they sign."""
    with opened_image(location, BlobCache(), insecure=insecure, reporter=reporter) as opened:
        if opened.description.mrsigner is None:
            raise UsageError(
                f"the enclave of {location} is unsigned: the image's digest changes with its signature",
                hint="sign the enclave first: enclavize sign material, enclavize sign attach",
            )
        image = opened.image
        assert isinstance(image.source, SignatureStore)
        yield image.source, replace(image.manifest, digest=sha256_digest(image.manifest_bytes))


def _read_payload(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PAYLOAD_SIZE + 1)
    except OSError as error:
        raise UsageError(f"cannot read the payload {path}: {error.strerror}") from error
