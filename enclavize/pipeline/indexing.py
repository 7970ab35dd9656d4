"""The index stage of a build: while threads read layers, the main one loads what the later stages need.

On one core these 70 ms of modules and tables would stand before the first byte of a layer, or behind the
last.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from enclavize.rootfs.index import index_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.libos.base import Backend
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.pipeline.options import BuildOptions
    from enclavize.progress import Reporter
    from enclavize.rootfs.tree import Rootfs

_LATER = (
    "enclavize.pipeline.convert",
    "enclavize.rootfs.erofs",
    "enclavize.rootfs.native_erofs",
    "enclavize.sgx.enclave_file",
    "cryptography.hazmat.primitives.serialization",
)


def index(
    image: Image,
    options: BuildOptions,
    backend: Backend,
    cache: BlobCache,
    reporter: Reporter,
    *,
    on_layer: Callable[[int], object] = lambda _number: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Rootfs:
    """Return the merged tree; see ``index_image``. ``on_layer``: of images that keep their layers.

    ``meanwhile`` is called once these modules are there.
    """

    def load() -> None:
        for name in _LATER:
            import_module(name)
        from enclavize.libos.formats import format_for

        format_for(backend.name)
        backend.profile  # noqa: B018 - its file is read now, and kept
        meanwhile()

    return index_image(
        image,
        cache=cache,
        reporter=reporter,
        refresh=not options.use_cache,
        on_layer=on_layer if backend.keeps_layers else lambda _number: None,
        meanwhile=load,
    )
