"""Pushes that begin before there is an image.

The source's layers go to registries while they are indexed, and so does what every image of a LibOS gets. A
build that is refused later has uploaded blobs at most: what names them, the manifest, comes last of all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from enclavize.oci.fetch import follow_blob
from enclavize.oci.target import LayerToWrite
from enclavize.pipeline.options import OutputKind

if TYPE_CHECKING:
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.oci.registry.target import RegistryTarget
    from enclavize.pipeline.options import BuildOptions, Output
    from enclavize.progress import Reporter


class Ahead:
    """The registries of one build."""

    def __init__(self, image: Image, options: BuildOptions, cache: BlobCache, reporter: Reporter) -> None:
        self._image = image
        self._cache = cache
        self._reporter = reporter
        self._outputs = [output for output in options.outputs if output.kind is OutputKind.REGISTRY]
        self._insecure = options.insecure
        self._targets: dict[Output, RegistryTarget] = {}

    def target(self, output: Output) -> RegistryTarget:
        """Return the target of an output, which knows what it has begun."""
        from enclavize.oci.registry.target import RegistryTarget

        return self._targets.setdefault(output, RegistryTarget(insecure=self._insecure))

    def push(self, number: int) -> None:
        """Begin to push a layer of the source, whose bytes are on their way or known."""
        layer = LayerToWrite(
            descriptor=self._image.layers[number],
            diff_id=self._image.config.diff_ids[number],
            open=partial(follow_blob, self._image, self._image.layers[number], self._cache),
            origin=self._image.source.origin,
        )
        self._begin(layer)

    def push_own(self, layer: Descriptor) -> None:
        """Begin to push an uncompressed layer of ours, which is in the cache."""
        self._begin(
            LayerToWrite(descriptor=layer, diff_id=layer.digest, open=partial(self._cache.open, layer))
        )

    def _begin(self, layer: LayerToWrite) -> None:
        for output in self._outputs:
            self.target(output).begin(layer, output.names, self._reporter)

    def close(self) -> None:
        """Stop what has begun and was not delivered."""
        for target in self._targets.values():
            target.close()
