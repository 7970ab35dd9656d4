"""``enclavize verify``: a TEE image, from wherever it is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import SigningRefusedError
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import RegistryLocation
from enclavize.oci.manifest import Manifest, parse_manifest
from enclavize.oci.source import resolve
from enclavize.pipeline.workspace import workspace
from enclavize.rootfs.index import index_image
from enclavize.tee.contents import kept_layers, read_contents, require_tee_image
from enclavize.tee.image_trust import judge_signatures
from enclavize.tee.verify import identity_of, verify_enclave, verify_labels, verify_layers, verify_rootfs

if TYPE_CHECKING:
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter
    from enclavize.tee.expectations import Expectations
    from enclavize.tee.image_trust import ImageTrust
    from enclavize.tee.verify import Identity


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The image is consistent; it may be not what was expected nevertheless."""

    image: str
    digest: Digest
    identity: Identity
    image_trust: ImageTrust
    expectations: Expectations

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the image is not to be trusted."""
        return (*self.expectations.objections(self.identity), *self.image_trust.objections)

    @property
    def signer(self) -> str:
        """What is known about the signer."""
        if self.identity.mrsigner is None:
            return "unsigned"
        return "checked" if self.expectations.signers else "NOT checked"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        identity = self.identity
        return {
            "image": self.image,
            "digest": self.digest,
            "mrenclave": identity.mrenclave,
            "mrsigner": identity.mrsigner,
            "isvprodid": identity.isv_prod_id,
            "isvsvn": identity.isv_svn,
            "debug": identity.debug,
            "consistent": True,
            "signer": self.signer,
            "measurement": "checked" if self.expectations.measurements else "NOT checked",
            "image_signature": self.image_trust.state,
            "image_names": list(self.image_trust.names),
            "trusted": not self.objections,
        }

    def raise_unless_trusted(self) -> None:
        """Raise SigningRefusedError with all objections."""
        if self.objections:
            hint = None
            if self.identity.mrsigner is None:
                hint = "sign it: enclavize sign material, enclavize sign attach"
            elif not self.expectations.name_somebody:
                hint = "say whom to trust: --signer PUB.pem, or --mrenclave HEX"
            else:
                hint = self.image_trust.hint
            raise SigningRefusedError(
                f"{self.image} is not trusted: " + "; ".join(self.objections), hint=hint
            )


def verify_image(
    location: Location, expectations: Expectations, *, insecure: bool, reporter: Reporter
) -> Verdict:
    """Verify everything. Raises EnclavizeError for an image that contradicts itself."""
    cache = BlobCache()
    image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
    with closing(image.source), workspace(cache) as workdir:
        require_tee_image(image)
        rootfs = index_image(image, cache=cache, reporter=reporter, hashed=kept_layers(image))
        verify_layers(rootfs, image)
        with reporter.task("verify the signature and measure the enclave again"):
            contents = read_contents(image, workdir, cache)
            _, sigstruct = verify_enclave(contents)
            verify_labels(image, annotations_of(image), contents)
        with reporter.task("compare the layers with what the enclave is bound to"):
            verify_rootfs(rootfs, image, contents, workdir)
        identity = identity_of(sigstruct)
        with reporter.task("verify the image's signatures"):
            trust = judge_signatures(
                image,
                expectations.image,
                sigstruct.public_key() if identity.mrsigner in expectations.signers else None,
                location.reference.name if isinstance(location, RegistryLocation) else None,
            )
    return Verdict(
        image=image.name,
        digest=image.manifest.digest,
        identity=identity,
        image_trust=trust,
        expectations=expectations,
    )


def annotations_of(image: Image) -> dict[str, str]:
    """Return the annotations of the manifest."""
    manifest = parse_manifest(image.manifest_bytes, image.name)
    return dict(manifest.annotations) if isinstance(manifest, Manifest) else {}
