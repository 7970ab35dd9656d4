"""The build: resolve, index, check, instance, measure, sign, assemble, deliver."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from enclavize import __version__
from enclavize.errors import UsageError
from enclavize.libos.backends import backend_for
from enclavize.libos.titles import TITLES
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.resolve import resolve
from enclavize.pipeline.ahead import Ahead
from enclavize.pipeline.dates import signing_date
from enclavize.pipeline.deliver import check_outputs, deliver
from enclavize.pipeline.doubt import doubt
from enclavize.pipeline.image_signing import open_image_signer, sign_build
from enclavize.pipeline.metadata import forget_image_id, write_image_id, write_metadata
from enclavize.pipeline.options import AUTO
from enclavize.pipeline.results import Results, result_key
from enclavize.pipeline.signing import signing_identity
from enclavize.tee.annotations import base_annotations
from enclavize.tee.image import check_convertible, write_files
from enclavize.tee.known_flaws import known_flaws

if TYPE_CHECKING:
    import datetime as dt

    from enclavize.libos.base import Backend
    from enclavize.libos.toolchain import Toolchain
    from enclavize.oci.descriptor import Descriptor
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
    image_signer = open_image_signer(options)
    identity = signing_identity(options.signing)
    cache = BlobCache()
    toolchain = _toolchain(options, cache, reporter)
    backend = None if options.libos == AUTO else backend_with(options.libos, toolchain, options)
    image = resolve(
        options.source, options.platform, cache=cache, insecure=options.insecure, reporter=reporter
    )
    with closing(image.source), closing(Ahead(image, options, cache, reporter)) as ahead:
        check_convertible(image)
        backend = backend or _chosen_backend(image, toolchain, options, cache, reporter)
        tee = _converted(image, options, backend, identity, cache=cache, reporter=reporter, ahead=ahead)
        signed = sign_build(tee.manifest.digest, options, image_signer or identity.load, reporter)
        delivered = deliver(tee, image, options, cache, reporter, ahead=ahead, signed=signed)
    write_metadata(options.metadata_file, tee, signed)
    write_image_id(options.image_id_file, tee)
    return BuildResult(tee=tee, delivered=delivered)


def backend_of(image: Image, options: BuildOptions, cache: BlobCache, reporter: Reporter) -> Backend:
    """Return the backend that a build of the image would have. Raises UsageError, IncompatibleImageError."""
    toolchain = _toolchain(options, cache, reporter)
    if options.libos == AUTO:
        return _chosen_backend(image, toolchain, options, cache, reporter)
    return backend_with(options.libos, toolchain, options)


def _toolchain(options: BuildOptions, cache: BlobCache, reporter: Reporter) -> Toolchain | None:
    if options.toolchain is None and options.libos not in TITLES:
        return None
    from enclavize.pipeline.toolchain import toolchain_of

    return toolchain_of(options, cache, reporter)


def _chosen_backend(
    image: Image, toolchain: Toolchain | None, options: BuildOptions, cache: BlobCache, reporter: Reporter
) -> Backend:
    from enclavize.pipeline.choose import choose_libos

    libos = choose_libos(image, toolchain, cache, reporter)
    return backend_with(libos, toolchain if toolchain and toolchain.libos == libos else None, options)


def backend_with(libos: str, toolchain: Toolchain | None, options: BuildOptions) -> Backend:
    """Return the backend. Raises UsageError for missing files, and for settings that the LibOS lacks."""
    if toolchain is not None:
        for path in toolchain.missing:
            toolchain.require(path)
    backend = backend_for(libos, toolchain, options.tables.get(libos))
    if options.resources.kernel_heap is not None:
        profile = backend.profile
        if not profile.sizes.kernel_heap:
            raise UsageError(
                f"--set kernel-heap: {profile.title} has no heap of its own",
                hint="leave it out, and set memory",
            )
    if options.resources.fault_around is not None and backend.name != "builtin":
        raise UsageError("--set fault-around: only the builtin LibOS decides what a page fault brings")
    if options.resources.switchless and backend.name != "builtin":
        raise UsageError(
            "--set switchless: only the builtin LibOS has these calls",
            hint="Gramine: sgx.insecure__rpc_thread_num in its manifest",
        )
    return backend


def _converted(
    image: Image,
    options: BuildOptions,
    backend: Backend,
    identity: SigningIdentity,
    *,
    cache: BlobCache,
    reporter: Reporter,
    ahead: Ahead,
) -> TeeImage:
    """Find that the TEE image was made before, or make it."""
    date = signing_date(options.signing.date, options.source_date_epoch, image.config.created)
    results = Results(cache)
    key = result_key(_ingredients(image, options, backend, identity, date))
    with reporter.task("look for an earlier result") as task:
        if options.signing.debug:
            doubt(DEBUG_WARNING, options, task)
        for flaw in known_flaws(backend.name, backend.version):
            doubt(f"{backend.name} {backend.version} has the known flaw {flaw}", options, task)
        layers = frozenset(layer.digest for layer in image.layers)
        known = results.find(key, layers) if options.use_cache else None
        if known:
            task.mark_cached()
            return known

    from enclavize.pipeline.indexing import index

    shared: Descriptor | None = None

    def share() -> None:
        nonlocal shared
        shared = write_files(backend.shared_files(), cache)
        if shared:
            ahead.push_own(shared)

    rootfs = index(image, options, backend, cache, reporter, on_layer=ahead.push, meanwhile=share)

    from enclavize.pipeline.convert import convert

    tee = convert(
        image,
        rootfs,
        options,
        backend=backend,
        identity=identity,
        date=date,
        cache=cache,
        reporter=reporter,
        shared=shared,
    )
    results.keep(key, tee)
    return tee


def _ingredients(
    image: Image, options: BuildOptions, backend: Backend, identity: SigningIdentity, date: dt.date
) -> list[object]:
    """Return everything that the TEE image depends on, as a JSON value."""
    return [
        __version__,
        backend.name,
        backend.fingerprint(),
        sha256_digest(image.config_bytes),
        [layer.to_json() for layer in image.layers],
        base_annotations(options.source, image.manifest),
        asdict(options.instance(backend.name)),
        options.strict,
        options.forced,
        date.isoformat(),
        options.source_date_epoch,
        dict(options.labels),
        dict(options.annotations),
        identity.fingerprint,
    ]
