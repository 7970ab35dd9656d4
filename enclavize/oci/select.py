"""From a manifest or index to the image for one platform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from enclavize.errors import InvalidImageError
from enclavize.oci.image import Image, parse_config, spelling
from enclavize.oci.limits import MAX_INDEX_DEPTH, MAX_MANIFEST_SIZE
from enclavize.oci.manifest import Index, Manifest, parse_manifest
from enclavize.oci.media_types import INDEX_TYPES, MANIFEST_TYPES, layer_compression
from enclavize.oci.platform import Platform
from enclavize.oci.source import Source
from enclavize.oci.stream import blob_name, read_verified

if TYPE_CHECKING:
    from enclavize.oci.descriptor import Descriptor


class ManifestSource(Source, Protocol):
    """A source that keeps manifests too."""

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Return the verified bytes of a manifest or index."""
        ...


def select_image(
    name: str, descriptor: Descriptor, data: bytes, source: ManifestSource, platform: Platform
) -> Image:
    """Walk from the manifest or index ``data`` to the image for ``platform``. Raises InvalidImageError."""
    manifest = parse_manifest(data, name)
    ambiguities: tuple[str, ...] = ()
    for _ in range(MAX_INDEX_DEPTH):
        what = f"manifest {descriptor.digest}"
        ambiguities += spelling(manifest.misspelled, what)
        if isinstance(manifest, Manifest):
            image = _image_of_manifest(name, descriptor, data, manifest, source=source, platform=platform)
            return replace(image, ambiguities=ambiguities + image.ambiguities)
        descriptor = choose(manifest, platform, name)
        if descriptor.size > MAX_MANIFEST_SIZE:
            raise InvalidImageError(f"{name}: a manifest of {descriptor.size} bytes is too large")
        data = source.read_manifest(descriptor)
        manifest = parse_manifest(data, f"{name}, manifest {descriptor.digest}")
        if isinstance(manifest, Index) != (descriptor.media_type in INDEX_TYPES):
            raise InvalidImageError(
                f"{name}: manifest {descriptor.digest} is not what its index says, "
                f"which is {descriptor.media_type[:200]!r}"
            )
    raise InvalidImageError(f"{name}: image indexes are nested more than {MAX_INDEX_DEPTH - 1} deep")


def choose(index: Index, platform: Platform, name: str) -> Descriptor:
    """Return the first entry of an index for the platform, or else one that is an index itself."""
    images = [
        entry for entry in index.manifests if entry.media_type in MANIFEST_TYPES and not _unknown(entry)
    ]
    for entry in images:
        if entry.platform and platform.runs(entry.platform):
            return entry
    for entry in index.manifests:
        if entry.media_type in INDEX_TYPES and (not entry.platform or platform.runs(entry.platform)):
            return entry
    if len(images) == 1 and images[0].platform is None:
        return images[0]  # its configuration tells the platform, and is checked
    offered = sorted({str(entry.platform or "one without a platform") for entry in images})
    raise InvalidImageError(
        f"{name} has no image for {platform}",
        hint=f"it has: {', '.join(offered)}" if offered else "its index has no images at all",
    )


def _unknown(entry: Descriptor) -> bool:
    """Tell attestation entries, which BuildKit lists for platform unknown/unknown."""
    return entry.platform is not None and entry.platform.runs(Platform(os="unknown", architecture="unknown"))


def _image_of_manifest(
    name: str, descriptor: Descriptor, data: bytes, manifest: Manifest, *, source: Source, platform: Platform
) -> Image:
    """Fetch the configuration and check that the parts fit together. Raises InvalidImageError."""
    for layer in manifest.layers:
        layer_compression(layer.media_type)
    config_bytes = read_verified(
        source.open_blob(manifest.config), manifest.config, blob_name(manifest.config.digest)
    )
    config = parse_config(config_bytes, f"the configuration of {name}")
    if len(config.diff_ids) != len(manifest.layers):
        raise InvalidImageError(
            f"{name} has {len(manifest.layers)} layers, but its configuration lists {len(config.diff_ids)}",
            hint="it may be an artifact and not an image" if not config.diff_ids else None,
        )
    is_for = Platform(os=config.os or platform.os, architecture=config.architecture or platform.architecture)
    if not platform.runs(is_for):
        raise InvalidImageError(f"{name} has no image for {platform}", hint=f"it has: {is_for}")
    return Image(
        name=name,
        manifest=descriptor,
        manifest_bytes=data,
        config_bytes=config_bytes,
        layers=manifest.layers,
        source=source,
        ambiguities=spelling(config.misspelled, "its configuration"),
    )
