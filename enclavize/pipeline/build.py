"""The build: resolve, index, check, instance, measure, sign, assemble, deliver."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from enclavize import __version__
from enclavize.compat.profile import profile_for
from enclavize.errors import SigningRefusedError
from enclavize.libos.base import InstanceOptions
from enclavize.libos.builtin.backend import BuiltinBackend
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.source import resolve
from enclavize.pipeline.check import report_on
from enclavize.pipeline.dates import created_text, signing_date
from enclavize.pipeline.deliver import check_outputs, deliver
from enclavize.pipeline.metadata import forget_image_id, write_image_id, write_metadata
from enclavize.pipeline.results import Results, result_key
from enclavize.pipeline.signing import signing_identity
from enclavize.pipeline.workspace import workspace
from enclavize.rootfs.index import index_image
from enclavize.sgx.enclave_file import measure_enclave
from enclavize.sgx.sigstruct import Sigstruct, bcd_date
from enclavize.signing.local import sign_sigstruct
from enclavize.tee.annotations import base_annotations
from enclavize.tee.image import assemble, check_convertible, check_free

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from enclavize.libos.base import Backend
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.pipeline.options import BuildOptions
    from enclavize.pipeline.signing import SigningIdentity
    from enclavize.progress import Reporter
    from enclavize.tee.image import TeeImage

DEBUG_WARNING = (
    "this is a DEBUG image: whoever runs it can read and change the enclave. "
    "Give --key, and not --debug, for an image that protects anything"
)


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What was built. ``delivered`` says where it is, one line for each place."""

    tee: TeeImage
    delivered: tuple[str, ...]

    @property
    def image_id(self) -> Digest:
        """The digest of the configuration, which docker calls the image ID."""
        return self.tee.config.digest


def build(options: BuildOptions, reporter: Reporter) -> BuildResult:
    """Run a whole build. Raises EnclavizeError."""
    forget_image_id(options.image_id_file)
    check_outputs(options)
    identity = signing_identity(options.signing)
    backend = BuiltinBackend()
    cache = BlobCache()
    image = resolve(options.source, cache=cache, insecure=options.insecure, reporter=reporter)
    with closing(image.source):
        check_convertible(image)
        tee = _convert(image, options, backend, identity, cache=cache, reporter=reporter)
        delivered = deliver(tee, image, options, cache, reporter)
    write_metadata(options.metadata_file, tee)
    write_image_id(options.image_id_file, tee)
    return BuildResult(tee=tee, delivered=delivered)


def _convert(
    image: Image,
    options: BuildOptions,
    backend: Backend,
    identity: SigningIdentity,
    *,
    cache: BlobCache,
    reporter: Reporter,
) -> TeeImage:
    """Make the TEE image, or find that it was made before."""
    date = signing_date(options.signing.date, options.source_date_epoch, image.config.created)
    results = Results(cache)
    key = result_key(_ingredients(image, options, backend, identity, date))
    layers = frozenset(layer.digest for layer in image.layers)
    with reporter.task("look for an earlier result") as task:
        if options.signing.debug:
            _doubt(DEBUG_WARNING, options, task.warn)
        known = results.find(key, layers) if options.use_cache else None
        if known:
            task.mark_cached()
            return known
    rootfs = index_image(image, cache=cache, reporter=reporter, refresh=not options.use_cache)
    check_free(rootfs, image.name)

    with reporter.task(f"check that {backend.name} can run it") as task:
        report = report_on(rootfs, image, profile_for(backend.name))
        report.raise_errors()
        for finding in report.warnings:
            _doubt(f"{finding.code}: {finding.message}", options, task.warn)

    with workspace(cache) as workdir:
        instance = backend.instance(rootfs, image, _instance_options(options), workdir, reporter)

        with reporter.task("measure the enclave") as task:
            unsigned = measure_enclave(instance.unsigned_enclave, instance.enclave_config)
            task.log(f"MRENCLAVE {unsigned.measurement.mrenclave.hex()}")

        with reporter.task("sign the enclave"):
            sigstruct = Sigstruct(measurement=unsigned.measurement, date=bcd_date(date))
            signed = sign_sigstruct(sigstruct, identity.load(), image.name)

        with reporter.task("assemble the TEE image"):
            tee = assemble(
                image,
                instance,
                signed,
                b"".join(unsigned.signed_image(signed)),
                debug=options.signing.debug,
                labels=options.labels,
                annotations={**base_annotations(options.source, image.manifest), **options.annotations},
                created=created_text(options.source_date_epoch),
                cache=cache,
            )
    results.keep(key, tee)
    return tee


def _instance_options(options: BuildOptions) -> InstanceOptions:
    policy = options.policy
    if options.signing.debug:
        policy = replace(policy, allow_any_exec=True)
    return InstanceOptions(
        policy=policy,
        resources=options.resources,
        isv_prod_id=options.signing.isv_prod_id,
        isv_svn=options.signing.isv_svn,
        debuggable=options.signing.debug,
    )


def _ingredients(
    image: Image, options: BuildOptions, backend: Backend, identity: SigningIdentity, date: dt.date
) -> list[object]:
    """Return everything that the TEE image depends on, as a JSON value."""
    instance_options = _instance_options(options)
    return [
        __version__,
        backend.name,
        backend.fingerprint(),
        sha256_digest(image.config_bytes),
        [layer.to_json() for layer in image.layers],
        base_annotations(options.source, image.manifest),
        asdict(instance_options),
        options.strict,
        date.isoformat(),
        options.source_date_epoch,
        dict(options.labels),
        dict(options.annotations),
        identity.fingerprint,
    ]


def _doubt(message: str, options: BuildOptions, warn: Callable[[str], None]) -> None:
    """Warn, or refuse where no doubt is wanted."""
    if options.strict:
        raise SigningRefusedError(f"--production: {message}")
    warn(message)
