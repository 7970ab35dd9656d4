"""Whether somebody who is trusted has signed the image as a whole: name and manifest digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.oci.digest import sha256_digest
from enclavize.oci.source import SignatureStore
from enclavize.signing.image_keys import is_signed_by
from enclavize.signing.image_payload import parse_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.oci.image import Image
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.signing.image_keys import ImagePublicKey
    from enclavize.signing.image_payload import ImagePayload

CHECKED, NOT_CHECKED, NONE, WRONG = "checked", "NOT checked", "none", "wrong"


@dataclass(frozen=True, kw_only=True)
class ImageExpectations:
    """What a verifier wants of image signatures.

    ``signers`` are keys of which one must have signed, in place of the enclave's signer. ``name`` is the name
    that must be signed, registry and repository; None: the one under which the image was asked for.
    """

    signers: tuple[ImagePublicKey, ...] = ()
    name: str | None = None
    required: bool = False

    @property
    def insist(self) -> bool:
        """Whether an image without a signature is refused."""
        return self.required or bool(self.signers) or self.name is not None


@dataclass(frozen=True, kw_only=True)
class ImageTrust:
    """What was found. ``names`` are those that trusted signers have signed for this manifest."""

    state: str
    names: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    hint: str | None = None


def judge_signatures(
    image: Image, expectations: ImageExpectations, enclave_key: ImagePublicKey | None, name: str | None
) -> ImageTrust:
    """Look for signatures beside an image, and verify all of them.

    ``enclave_key`` is that of the enclave's signer, if it is trusted; ``name`` the name under which the image
    was asked for, if it has one. Every signature that is there must be of a trusted key and of this manifest:
    one that nobody trusted has made is as bad as a wrong one. Raises RegistryError.
    """
    keys = (*expectations.signers, *([enclave_key] if enclave_key else []))
    if not keys:
        return ImageTrust(state=NOT_CHECKED)
    if not isinstance(image.source, SignatureStore):
        missing = f"{image.name} is where no image signatures are: they are in registries and OCI layouts"
        return ImageTrust(state=NONE, objections=(missing,) if expectations.insist else ())
    try:
        found = list(image.source.find_signatures(sha256_digest(image.manifest_bytes)))
    except (InvalidImageError, IntegrityError) as error:
        return ImageTrust(state=WRONG, objections=(f"its image signature cannot be read: {error}",))
    if not found:
        return ImageTrust(
            state=NONE, objections=("it has no image signature",) if expectations.insist else ()
        )
    good: list[tuple[ImagePublicKey, ImagePayload]] = []
    objections: list[str] = []
    for place, signature in found:
        try:
            good.append(_verify(image, place, signature, keys))
        except (InvalidImageError, IntegrityError) as error:
            objections.append(str(error))
    names = tuple(sorted({payload.name for _, payload in good}))
    if objections:
        return ImageTrust(state=WRONG, names=names, objections=tuple(objections))
    wanted = {payload.name for key, payload in good if key in (expectations.signers or keys)}
    if not wanted:
        unmet = "its image signature is of the enclave's signer, and of no image signer that is wanted"
        return ImageTrust(state=WRONG, names=names, objections=(unmet,))
    if (expected := expectations.name or name) not in (None, *wanted):
        unmet = f"its image signature is for {', '.join(sorted(wanted))}, and not for {expected}"
        hint = "of a copy elsewhere, say the name that was signed: --image-name NAME"
        return ImageTrust(state=WRONG, names=names, objections=(unmet,), hint=hint)
    return ImageTrust(state=CHECKED, names=names)


def _verify(
    image: Image, place: str, signature: ImageSignature, keys: Sequence[ImagePublicKey]
) -> tuple[ImagePublicKey, ImagePayload]:
    """Return who signed what. Raises IntegrityError, InvalidImageError."""
    key = next((key for key in keys if is_signed_by(key, signature.payload, signature.signature)), None)
    if key is None:
        raise IntegrityError(f"{place} is of nobody who is trusted to sign it")
    payload = parse_payload(signature.payload, f"{place}: its payload")
    if payload.digest != sha256_digest(image.manifest_bytes):
        raise IntegrityError(f"{place} is of another image, {payload.digest}")
    return key, payload
