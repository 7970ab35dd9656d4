"""From a manifest or index to the image for one platform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from enclavize.errors import InvalidImageError
from enclavize.oci.image import Image, parse_config, spelling
from enclavize.oci.limits import MAX_INDEX_DEPTH, MAX_MANIFEST_SIZE
from enclavize.oci.manifest import Index, Manifest, parse_manifest
from enclavize.oci.media_types import CONFIG_TYPES, INDEX_TYPES, MANIFEST_TYPES, layer_compression
from enclavize.oci.platform import LINUX_AMD64, Platform
from enclavize.oci.source import Source
from enclavize.oci.stream import blob_name, read_verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import ImageConfig


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
    ambiguities: list[str] = []
    for depth in range(MAX_INDEX_DEPTH):
        if isinstance(manifest, Manifest):
            image = _image_of_manifest(name, descriptor, data, manifest, source=source, platform=platform)
            return replace(image, ambiguities=(*ambiguities, *image.ambiguities))
        what = f"index {descriptor.digest}"
        if depth > 0:  # docker looks into it, podman does not
            ambiguities.append(f"{what} is inside another index")
        descriptor = choose(manifest, platform, name)
        ambiguities += ambiguities_of(manifest, descriptor, what)
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


def image_at(name: str, descriptor: Descriptor, source: ManifestSource, platform: Platform) -> Image:
    """Read the manifest or index that ``descriptor`` names, and go on. Raises InvalidImageError."""
    if descriptor.size > MAX_MANIFEST_SIZE:
        raise InvalidImageError(f"{name}: a manifest of {descriptor.size} bytes is too large")
    return select_image(name, descriptor, source.read_manifest(descriptor), source, platform)


def choose(index: Index, platform: Platform, name: str) -> Descriptor:
    """Return the entry of an index that docker takes on ``platform``. Raises InvalidImageError.

    That is the first of those that suit it best; one without a platform comes last, since only its
    configuration tells. Source: moby, daemon/internal/distribution/pull_v2_unix.go, ``filterManifests``.
    """
    suitable = [
        (rank, entry)
        for entry in index.manifests
        if entry.media_type in MANIFEST_TYPES | INDEX_TYPES
        and (rank := _preference(entry, platform)) is not None
    ]
    if suitable:
        return min(suitable, key=lambda pair: pair[0])[1]
    offered = sorted({str(entry.platform) for entry in images_of(index)})
    raise InvalidImageError(
        f"{name} has no image for {platform}",
        hint=f"it has: {', '.join(offered)}" if offered else "its index has no images at all",
    )


def _preference(entry: Descriptor, platform: Platform) -> tuple[bool, int] | None:
    if entry.platform is None or not entry.platform.is_stated:
        return True, 0
    rank = platform.preference(entry.platform)
    return None if rank is None else (False, rank)


def images_of(index: Index) -> list[Descriptor]:
    """Return the entries of an index but for attestations, whatever they say that they are."""
    return [entry for entry in index.manifests if not (entry.platform and entry.platform.is_attestation)]


def ambiguities_of(index: Index, chosen: Descriptor, what: str) -> Iterator[str]:
    """Tell why readers on linux/amd64 may not all take ``chosen`` of an index, which ``what`` names.

    Engines differ in names of platforms, in processors, and in what they make of entries without a platform
    or of unknown type. So there is one reading only of an index with one entry that could run.
    """
    yield from spelling(index.misspelled, what)
    images = images_of(index)
    if len({entry.digest for entry in images}) == 1:
        return
    runnable = {entry.digest for entry in images if not entry.platform or entry.platform.may_run_on_amd64()}
    if len(runnable) != 1:
        yield f"{what} has {len(runnable)} images that could run on {LINUX_AMD64}"
    elif chosen.platform is None or not chosen.platform.is_stated:
        yield f"{what} has an image without a platform beside others"


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
    check_machine(name, config, platform)
    return Image(
        name=name,
        manifest=descriptor,
        manifest_bytes=data,
        config_bytes=config_bytes,
        layers=manifest.layers,
        source=source,
        ambiguities=(
            *spelling(manifest.misspelled, "its manifest"),
            *spelling(config.misspelled, "its configuration"),
            *_no_image_to_some(manifest),
        ),
    )


def _no_image_to_some(manifest: Manifest) -> Iterator[str]:
    """Tell why containerd would not take a manifest for an image's, which others do."""
    if manifest.config.media_type not in CONFIG_TYPES:
        yield f"its configuration is of type {manifest.config.media_type[:100]!r}, which is no image's"


def check_machine(name: str, config: ImageConfig, platform: Platform) -> None:
    """Compare system and architecture; where there is no choice, engines run any level of the processor.

    Raises InvalidImageError.
    """
    is_for = Platform(os=config.os or platform.os, architecture=config.architecture or platform.architecture)
    if is_for.machine != platform.machine:
        raise InvalidImageError(f"{name} has no image for {platform}", hint=f"it has: {is_for}")
