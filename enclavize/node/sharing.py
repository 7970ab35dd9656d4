"""Converted images in the registry of the image that they were made of, as its referrers.

A node that has converted an image pushes the TEE image, whose manifest names the original as ``subject``
(image-spec, manifest.md; distribution-spec, "Listing Referrers") and has the enclave's signature:

    "artifactType": "application/vnd.enclavize.tee-image.v1",
    "annotations": {"org.enclavize.mrenclave": HEX, "enclavize.org/signature": BASE64, ...}

Another node converts the image itself, as the measurement is only then its own, and takes nothing but the
signature: one that fits its own SIGSTRUCT, under the key of its own signer. So whoever can write to the
registry can at most have the signer asked once more.
"""

from __future__ import annotations

import base64
import json
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError
from enclavize.oci.document import canonical_json
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.referrers import list_referrers, put_with_subject
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.registry.upload import push_blob, push_bytes
from enclavize.tee.annotations import MRENCLAVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.oci.reference import ImageReference
    from enclavize.signing.local import Signer
    from enclavize.signing.material import SigningMaterial
    from enclavize.tee.image import TeeImage

ARTIFACT_TYPE = "application/vnd.enclavize.tee-image.v1"
SIGNATURE = "enclavize.org/signature"
"""384 bytes, big-endian, as OpenSSL writes them. (No name of a build: `verify` knows all of these.)"""

_MAX_TRIED = 64
"""Signatures for one measurement; others with its annotation are somebody's mischief."""


class Share(StrEnum):
    """What a node does with registries. Who pushes takes, too."""

    TAKE = "take"
    PUSH = "push"


@dataclass
class SharedSigner:
    """Takes a signature that is there already, and else asks ``signer``. It signs once.

    ``said`` is what went wrong on the way, for the log; ``taken`` whether a signature was there.
    """

    signer: Signer
    reference: ImageReference
    image: Image
    taken: bool = False
    said: str = ""
    signature: bytes = b""

    @property
    def public_key(self) -> RSAPublicKey:
        """That of the signer, whosever signature it is."""
        return self.signer.public_key

    def sign(self, material: SigningMaterial) -> bytes:
        """Raises as the signer does."""
        there = fitting_signature(self._referrers(), material, self.public_key)
        if there:
            self.taken, self.signature = True, there
            return there
        self.signature = self.signer.sign(material)
        return self.signature

    def sign_image(self, name: str, digest: str) -> bytes:
        """Not shared."""
        return self.signer.sign_image(name, digest)

    def _referrers(self) -> tuple[Descriptor, ...]:
        repository, subject = self.reference.repository, self.image.manifest.digest
        try:
            with closing(RegistryClient(self.reference.registry)) as client:
                return list_referrers(client, repository, subject, ARTIFACT_TYPE)
        except EnclavizeError as error:
            self.said = f"no signature is taken from {self.reference.registry}: {error}"
            return ()

    def push(self, tee: TeeImage, cache: BlobCache) -> None:
        """Push the TEE image that was signed. Raises EnclavizeError."""
        manifest = _manifest(tee, self.image, self.signature)
        repository = self.reference.repository
        with closing(RegistryClient(self.reference.registry)) as client:
            ours = {layer.digest for layer in tee.layers} - {layer.digest for layer in self.image.layers}
            for layer in tee.layers:
                opener = partial(cache.open, layer)
                if layer.digest not in ours:
                    opener = partial(fetch_blob, self.image, layer, cache)
                push_blob(client, repository, layer, opener)
            push_bytes(client, repository, tee.config, tee.config_bytes)
            put_with_subject(client, repository, manifest)


def fitting_signature(
    entries: Iterable[Descriptor], material: SigningMaterial, public_key: RSAPublicKey
) -> bytes | None:
    """Return a signature of the material under the key that one of the entries has."""
    wanted = material.sigstruct.mrenclave.hex()
    named = (entry.annotations for entry in entries if entry.annotations.get(MRENCLAVE) == wanted)
    for found in islice(named, _MAX_TRIED):
        with suppress(EnclavizeError, ValueError):
            signature = base64.b64decode(found.get(SIGNATURE, ""), validate=True)
            material.sigstruct.with_signature(signature, public_key)
            return signature
    return None


def _manifest(tee: TeeImage, image: Image, signature: bytes) -> bytes:
    """Return the manifest of a TEE image as one that refers to its original."""
    document: dict[str, Any] = json.loads(tee.manifest_bytes)
    subject = replace(image.manifest, annotations={}, platform=None)
    annotations = {**document["annotations"], SIGNATURE: base64.b64encode(signature).decode()}
    return canonical_json(
        {
            **document,
            "artifactType": ARTIFACT_TYPE,
            "subject": subject.to_json(),
            "annotations": annotations,
        }
    )
