"""Targets: where the pipeline's last stage delivers an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.oci.digest import Digest
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.oci.reference import ImageReference
    from enclavize.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class LayerToWrite:
    """A layer of an image to deliver.

    ``open`` starts the blob from its beginning each time it is called. ``origin`` is the registry reference
    of an image that has this layer already: it is mounted from there where the registry allows that.
    """

    descriptor: Descriptor
    diff_id: Digest
    open: Callable[[], BinaryIO]
    origin: ImageReference | None = None


@dataclass(frozen=True, kw_only=True)
class ImageToWrite:
    """An image to deliver. ``references`` are the names to give it, in the form that the user wrote.

    ``signatures`` are those of the image, by the name that each signs: registry and repository. A target that
    cannot hold signatures leaves them out.
    """

    manifest_bytes: bytes
    manifest_media_type: str
    config_bytes: bytes
    layers: tuple[LayerToWrite, ...]
    references: tuple[str, ...]
    signatures: Mapping[str, ImageSignature] = field(default_factory=dict)

    @property
    def manifest(self) -> Descriptor:
        """The descriptor of the manifest."""
        return Descriptor(
            media_type=self.manifest_media_type,
            digest=sha256_digest(self.manifest_bytes),
            size=len(self.manifest_bytes),
        )

    @property
    def config(self) -> Descriptor:
        """The descriptor of the configuration, as the manifest has it."""
        manifest = parse_manifest(self.manifest_bytes, "the manifest to write")
        assert isinstance(manifest, Manifest)
        return manifest.config

    @property
    def distinct_layers(self) -> tuple[LayerToWrite, ...]:
        """The layers, each blob once."""
        return tuple({layer.descriptor.digest: layer for layer in self.layers}.values())


class Target(Protocol):
    """One kind of output."""

    def deliver(self, image: ImageToWrite, reporter: Reporter) -> Descriptor:
        """Write the image and return the descriptor of its manifest. Leaves nothing behind on failure."""
        ...
