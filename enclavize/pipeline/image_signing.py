"""Who signs images as a whole, and the image signature of a build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.oci.reference import parse_reference
from enclavize.pipeline.options import KeySigner, NoSigner, OutputKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from enclavize.oci.digest import Digest
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.pipeline.options import BuildOptions, ServiceSigner
    from enclavize.progress import Reporter
    from enclavize.signing.image_keys import ImagePublicKey, ImageSigner

_HOLDERS = (OutputKind.REGISTRY, OutputKind.OCI_LAYOUT)
"""Outputs that have room for signatures beside the image."""


@dataclass(frozen=True, kw_only=True)
class SignedImage:
    """The signatures of one manifest, by the names that they sign."""

    digest: Digest
    key: ImagePublicKey
    signatures: Mapping[str, ImageSignature]

    @property
    def lines(self) -> tuple[str, ...]:
        """Return a line for each name."""
        return tuple(f"signed {name}@{self.digest}" for name in self.signatures)


def open_image_signer(options: BuildOptions) -> Callable[[], ImageSigner] | None:
    """Open the key of a build's image signature; None if there is none of its own.

    Raises UsageError for what could not be signed in the end, SigningRefusedError for the key.
    """
    if options.image_signing is None:
        return None
    if isinstance(options.signing.signer, NoSigner):
        raise UsageError(
            "an unsigned image cannot be signed as a whole: its digest changes with the enclave's signature",
            hint="sign it at the end: enclavize sign image",
        )
    holders = [output for output in options.outputs if output.kind in _HOLDERS]
    if not holders:
        raise UsageError(
            "no output has room for an image signature", hint="add --push, or -o type=oci,tar=false,dest=DIR"
        )
    if any(not output.names for output in holders):
        raise UsageError("an image signature signs a name, and there is none", hint="add --tag NAME")
    if options.image_signing.key is None:
        return None
    signer = image_signer(options.image_signing.key)
    return lambda: signer


def sign_build(
    digest: Digest,
    options: BuildOptions,
    load: Callable[[], ImageSigner] | None,
    reporter: Reporter,
) -> SignedImage | None:
    """Sign what a build has made, for each name that it gets where signatures are kept."""
    if options.image_signing is None or load is None:
        return None
    names = {
        parse_reference(name).name
        for output in options.outputs
        if output.kind in _HOLDERS
        for name in output.names
    }
    with reporter.task("sign the image"):
        return sign_names(load(), sorted(names), digest)


def sign_names(signer: ImageSigner, names: Iterable[str], digest: Digest) -> SignedImage:
    """Let a signer sign; what it gives is verified."""
    from enclavize.signing.image_keys import sign_image

    return SignedImage(
        digest=digest,
        key=signer.public_key,
        signatures={name: sign_image(signer, name, digest) for name in names},
    )


def image_signer(options: KeySigner | ServiceSigner) -> ImageSigner:
    """Open a key or ask a service. Raises UsageError, SigningRefusedError, SigningServiceError."""
    if isinstance(options, KeySigner):
        from enclavize.signing import signers

        return signers.open_image_signer(options.reference, options.passphrase)
    from enclavize.signing.remote import RemoteSigner

    return RemoteSigner(
        options.url, token_file=options.token_file, ca=options.ca, certificate=options.certificate
    )
