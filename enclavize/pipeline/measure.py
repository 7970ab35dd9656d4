"""``enclavize measure``: what a build would have signed, without a key and without SGX."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from enclavize.oci.cache import BlobCache
from enclavize.oci.resolve import resolve
from enclavize.pipeline.build import backend_of
from enclavize.pipeline.convert import measured
from enclavize.pipeline.indexing import index
from enclavize.pipeline.statement import statement
from enclavize.pipeline.workspace import workspace
from enclavize.tee.image import check_convertible

if TYPE_CHECKING:
    from enclavize.pipeline.options import BuildOptions
    from enclavize.progress import Reporter


def measure_image(options: BuildOptions, reporter: Reporter) -> dict[str, Any]:
    """Return the statement about an image (statement.py). Raises EnclavizeError."""
    cache = BlobCache()
    image = resolve(
        options.source, options.platform, cache=cache, insecure=options.insecure, reporter=reporter
    )
    with closing(image.source), workspace(cache) as workdir:
        check_convertible(image)
        backend = backend_of(image, options, cache, reporter)
        rootfs = index(image, options, backend, cache, reporter)
        _, enclave = measured(image, rootfs, options, backend=backend, workdir=workdir, reporter=reporter)
        return statement(image, options, backend, enclave.measurement.mrenclave.hex())
