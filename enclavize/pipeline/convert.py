"""The middle of a build: check, instance, measure, sign, assemble."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.compat.codes import CODES
from enclavize.libos.formats import format_for
from enclavize.pipeline.check import report_on
from enclavize.pipeline.dates import created_text
from enclavize.pipeline.doubt import doubt
from enclavize.pipeline.workspace import workspace
from enclavize.rootfs.names import printable
from enclavize.sgx.sigstruct import Sigstruct, bcd_date
from enclavize.signing.local import sign_sigstruct
from enclavize.tee.annotations import base_annotations
from enclavize.tee.engine_names import acted_on
from enclavize.tee.image import assemble, check_free
from enclavize.tee.start import hides_enclave

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from enclavize.compat.sizes import Advice
    from enclavize.libos.base import Backend, Resources
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.pipeline.options import BuildOptions
    from enclavize.pipeline.signing import SigningIdentity
    from enclavize.progress import Reporter, Task
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.image import TeeImage
    from enclavize.tee.instance import Instance, MeasuredEnclave

SIZED_BY_ADVICE = frozenset({"gramine", "occlum"})
"""LibOSes whose memory is taken from the start, by each process of Gramine: more than is needed is dear."""


def convert(
    image: Image,
    rootfs: Rootfs,
    options: BuildOptions,
    *,
    backend: Backend,
    identity: SigningIdentity,
    date: dt.date,
    cache: BlobCache,
    reporter: Reporter,
    shared: Descriptor | None = None,
) -> TeeImage:
    """Make the TEE image; its new blobs are in the cache. Raises EnclavizeError.

    ``shared`` is the layer of the backend's shared files, if it was written before.
    """
    with workspace(cache) as workdir:
        instance, enclave = measured(
            image, rootfs, options, backend=backend, workdir=workdir, reporter=reporter
        )

        sigstruct = Sigstruct(measurement=enclave.measurement, date=bcd_date(date))
        if identity.load:
            with reporter.task("sign the enclave"):
                sigstruct = sign_sigstruct(sigstruct, identity.load(), image.name)
                signature_file = enclave.signed(sigstruct)
        else:
            signature_file = enclave.prepared(sigstruct.date)

        with reporter.task("assemble the TEE image") as task:
            for name in acted_on(image.config.labels):
                task.warn(f"the label {printable(name)} of the image is left out: engines act on it")
            return assemble(
                image,
                instance,
                format_for(instance.libos),
                sigstruct,
                signature_file,
                debug=options.signing.debug,
                labels=options.labels,
                annotations={**base_annotations(options.source, image.manifest), **options.annotations},
                created=created_text(options.source_date_epoch),
                volumes=_volumes(image, instance, rootfs, options.writable(instance.libos), task),
                cache=cache,
                shared=shared,
            )


def measured(
    image: Image,
    rootfs: Rootfs,
    options: BuildOptions,
    *,
    backend: Backend,
    workdir: Path,
    reporter: Reporter,
) -> tuple[Instance, MeasuredEnclave]:
    """Check, instance, measure: all that needs no key. Raises EnclavizeError."""
    check_free(rootfs, image.name)

    profile = backend.profile
    with reporter.task(f"check that {profile.title} can run it") as task:
        report = report_on(rootfs, image, profile, options.writable(backend.name))
        report.raise_errors(options.forced)
        for finding in report.errors:
            task.warn(f"{finding.code} (forced): {finding.message}")
        for finding in report.warnings:
            if finding.code in options.forced:
                continue
            text = f"{finding.code}: {finding.message}"
            if CODES[finding.code].weakens:
                doubt(text, options, task)
            else:
                task.warn(text)

        asked = options.instance(backend.name)
        if asked.resources.kernel_heap is None and (heap := report.advice.kernel_heap):
            asked = replace(asked, resources=replace(asked.resources, kernel_heap=heap))
            task.log(f"kernel heap {heap >> 20}M, as advised")
        if backend.name in SIZED_BY_ADVICE:
            asked = replace(asked, resources=_sizes(asked.resources, report.advice, task))

    instance = backend.instance(rootfs, image, asked, workdir, reporter)

    with reporter.task("measure the enclave") as task:
        for message in instance.doubts:
            doubt(message, options, task)
        enclave = instance.enclave.measure()
        task.log(f"MRENCLAVE {enclave.measurement.mrenclave.hex()}")
    return instance, enclave


def _sizes(resources: Resources, advice: Advice, task: Task) -> Resources:
    """Return the sizes that were given, or else those that the check advises; say which."""
    sizes = resources.advised(memory=advice.memory, threads=advice.threads)
    task.log(f"memory {sizes.memory >> 20}M, threads {sizes.threads}; --set memory= and --set threads=")
    if not {"memory", "threads"} <= set(sizes.given):
        task.log(f"as the check advises: {'; '.join(advice.reasons)}")
    return sizes


def _volumes(
    image: Image, instance: Instance, rootfs: Rootfs, opened: Sequence[str], task: Task
) -> Iterator[str]:
    """Yield the image's volumes but for those that would hide the enclave from the engine.

    Of the others those are told that neither ``opened`` nor a folder above them opens: what a database keeps
    there is not kept.
    """
    for path in image.config.volumes:
        if hides_enclave(rootfs, path, instance.links):
            task.warn(f"the volume {printable(path)} of the image is left out: it would hide the enclave")
            continue
        folder = posixpath.normpath(path)
        if not any(f"{folder}/".startswith(f"{place.rstrip('/')}/") for place in opened):
            task.warn(
                f"the enclave does not see what is mounted on {printable(path)}, a volume of the image: "
                "files there end with the container. "
                f"--volume {printable(folder)} lets it have them, and the host"
            )
        yield path
