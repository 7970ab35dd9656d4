"""``enclavize verify``: a TEE image, from wherever it is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import OutsideUncheckedError, SigningRefusedError
from enclavize.libos.formats import format_of
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import RegistryLocation
from enclavize.oci.manifest import Manifest, parse_manifest
from enclavize.oci.resolve import resolve
from enclavize.pipeline.outside import known_files, libos_findings
from enclavize.pipeline.workspace import workspace
from enclavize.rootfs.index import index_image
from enclavize.tee.contents import kept_layers, read_contents
from enclavize.tee.image_trust import judge_signatures
from enclavize.tee.outside import Outside
from enclavize.tee.start import check_process
from enclavize.tee.verify import identity_of, verify_enclave, verify_labels, verify_layers, verify_rootfs

if TYPE_CHECKING:
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter
    from enclavize.tee.expectations import Expectations
    from enclavize.tee.format import InstanceFormat
    from enclavize.tee.image_trust import ImageTrust
    from enclavize.tee.outside import LibosFindings
    from enclavize.tee.verify import Identity


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The image is consistent; it may be not what was expected nevertheless."""

    image: str
    digest: Digest
    identity: Identity
    image_trust: ImageTrust
    libos: LibosFindings
    unread: tuple[Digest, ...]
    expectations: Expectations

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the image is not to be trusted, but for files outside of the enclave that nobody compared."""
        wanted = self.expectations
        return (
            *wanted.objections(self.identity),
            *self.image_trust.objections,
            *self.libos.objections(wanted.libos),
        )

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
            "simulation": self.libos.simulation,
            "consistent": True,
            "signer": self.signer,
            "measurement": "checked" if self.expectations.measurements else "NOT checked",
            "image_signature": self.image_trust.state,
            "image_names": list(self.image_trust.names),
            "outside": self.libos.outside.value,
            "rootfs": "integrity only" if self.libos.integrity_only else "bound",
            "known_flaws": [flaw.id for flaw in self.libos.flaws],
            "unread": list(self.unread),
            "objections": list(self.objections),
            "trusted": self.libos.outside is Outside.CHECKED and not self.objections,
        }

    def raise_unless_trusted(self) -> None:
        """Raise SigningRefusedError with all objections, or OutsideUncheckedError if there are none."""
        if self.objections:
            raise SigningRefusedError(
                f"{self.image} is not trusted: " + "; ".join(self.objections), hint=self._hint
            )
        if self.libos.outside is not Outside.CHECKED:
            raise OutsideUncheckedError(
                f"{self.image} is as expected, but outside of the enclave: NOT checked. Nobody said what the "
                "LibOS's files must be that run there",
                hint="add --toolchain, or --host-files FILE as 'enclavize toolchain digests' writes it",
            )

    @property
    def _hint(self) -> str | None:
        if self.identity.mrsigner is None:
            return "sign it: enclavize sign material, enclavize sign attach"
        if self.libos.outside is Outside.UNKNOWN:
            return (
                "verify with the release of enclavize, and the toolchain, that the image was built with; or "
                "pin files that you know: --host-files FILE, with lines of SHA256  PATH below /.enclave/"
            )
        if not self.expectations.name_somebody:
            return "say whom to trust: --signer PUB.pem, or --mrenclave HEX"
        return self.image_trust.hint


def verify_image(
    location: Location, expectations: Expectations, *, insecure: bool, reporter: Reporter
) -> Verdict:
    """Verify everything. Raises EnclavizeError for an image that contradicts itself."""
    cache = BlobCache()
    image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
    with closing(image.source), workspace(cache) as workdir:
        form = format_of(image)
        rootfs = index_image(image, cache=cache, reporter=reporter, hashed=kept_layers(image, form))
        verify_layers(rootfs, image)
        with reporter.task("verify the signature and measure the enclave again"):
            contents = read_contents(image, form, workdir, cache)
            _, sigstruct = verify_enclave(contents)
            verify_labels(image, annotations_of(image), contents)
        unread = _unread(image, form, cache)
        with reporter.task("compare the layers with what the enclave is bound to"):
            verify_rootfs(rootfs, image, contents, workdir)
            check_process(image.config, rootfs, contents)
        known = known_files(
            contents.description.libos, expectations.libos, cache, insecure=insecure, reporter=reporter
        )
        with reporter.task("compare what runs outside of the enclave"):
            findings = libos_findings(contents, known, expectations.libos)
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
        libos=findings,
        unread=unread,
        expectations=expectations,
    )


def _unread(image: Image, form: InstanceFormat, cache: BlobCache) -> tuple[Digest, ...]:
    """Return the layers whose index was known, and whose blobs are in a registry alone."""
    if not image.source.remote:
        return ()
    kept = [image.layers[number].digest for number in kept_layers(image, form)]
    return tuple(digest for digest in kept if not cache.has(digest))


def annotations_of(image: Image) -> dict[str, str]:
    """Return the annotations of the manifest."""
    manifest = parse_manifest(image.manifest_bytes, image.name)
    return dict(manifest.annotations) if isinstance(manifest, Manifest) else {}
