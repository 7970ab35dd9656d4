"""From a manifest or index to the image for one platform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from enclavize.errors import InvalidImageError, NotFoundError
from enclavize.oci.image import Image, spelling
from enclavize.oci.image_config import parse_config
from enclavize.oci.limits import MAX_INDEX_DEPTH, MAX_INDEX_LOOKS, MAX_MANIFEST_SIZE
from enclavize.oci.manifest import Index, Manifest, parse_manifest
from enclavize.oci.media_types import CONFIG_TYPES, INDEX_TYPES, MANIFEST_TYPES, layer_compression
from enclavize.oci.platform import LINUX_AMD64, Platform
from enclavize.oci.source import Source
from enclavize.oci.stream import blob_name, read_verified

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from enclavize.errors import EnclavizeError
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image_config import ImageConfig


class ManifestSource(Source, Protocol):
    """A source that keeps manifests too."""

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Return the verified bytes of a manifest or index."""
        ...


def select_image(
    name: str, descriptor: Descriptor, data: bytes, source: ManifestSource, platform: Platform
) -> Image:
    """Walk from the manifest or index ``data`` to the image for ``platform``. Raises InvalidImageError."""
    return _Walk(name, source, platform).image_of(descriptor, data, name, depth=0)


def image_at(name: str, descriptor: Descriptor, source: ManifestSource, platform: Platform) -> Image:
    """Read the manifest or index that ``descriptor`` names, and go on. Raises InvalidImageError."""
    return _Walk(name, source, platform).image_at(descriptor, depth=0)


class _Walk:
    """From one manifest or index to an image; counts how often it looks into what states no platform."""

    def __init__(self, name: str, source: ManifestSource, platform: Platform) -> None:
        self._name = name
        self._source = source
        self._platform = platform
        self._looks = MAX_INDEX_LOOKS

    def image_at(self, descriptor: Descriptor, *, depth: int, exact: bool = False) -> Image:
        """Read what ``descriptor`` names; ``depth`` indexes lead to it."""
        if descriptor.size > MAX_MANIFEST_SIZE:
            raise InvalidImageError(f"{self._name}: a manifest of {descriptor.size} bytes is too large")
        data = self._source.read_manifest(descriptor)
        what = f"{self._name}, manifest {descriptor.digest}" if depth else self._name
        oddities = () if descriptor.size else (f"the index does not tell the size of {descriptor.digest}",)
        image = self.image_of(replace(descriptor, size=len(data)), data, what, depth=depth, exact=exact)
        return replace(image, oddities=(*oddities, *image.oddities))

    def image_of(
        self, descriptor: Descriptor, data: bytes, what: str, *, depth: int, exact: bool = False
    ) -> Image:
        """Go on from the bytes of a manifest or index.

        ``exact``: no image whose configuration does not name the platform.
        """
        manifest = parse_manifest(data, what)
        if (
            depth
            and descriptor.media_type
            and isinstance(manifest, Index) != (descriptor.media_type in INDEX_TYPES)
        ):
            raise InvalidImageError(
                f"{self._name}: manifest {descriptor.digest} is not what its index says, "
                f"which is {descriptor.media_type[:200]!r}"
            )
        if isinstance(manifest, Manifest):
            image = _image_of_manifest(
                self._name, descriptor, data, manifest, source=self._source, platform=self._platform
            )
            stated = _stated_platform(image.config, self._platform)
            if exact and stated.machine != self._platform.machine:
                raise _no_image(self._name, self._platform, [stated])
            return image
        if depth == MAX_INDEX_DEPTH - 1:
            raise InvalidImageError(f"{self._name}: image indexes are nested more than {depth} deep")
        index_name = f"index {descriptor.digest}"
        entry, image = self._first(manifest, depth + 1)
        ambiguities = [*ambiguities_of(manifest, entry, index_name), *image.ambiguities]
        if depth:  # docker looks into it, podman does not
            ambiguities.insert(0, f"{index_name} is inside another index")
        return replace(image, ambiguities=tuple(ambiguities))

    def _first(self, index: Index, depth: int) -> tuple[Descriptor, Image]:
        """Return the best entry that is an image for the platform.

        Of one that states no platform, its configuration tells, as to containerd (core/images/image.go,
        ``Manifest``); it may be an artifact.
        """
        refusal: EnclavizeError | None = None
        for entry in candidates(index, self._platform, self._name):
            if entry.platform and entry.platform.is_stated:
                return entry, self.image_at(entry, depth=depth)
            if not self._looks:
                break
            self._looks -= 1
            try:
                return entry, self.image_at(entry, depth=depth, exact=True)
            except (InvalidImageError, NotFoundError) as error:
                refusal = refusal or error
        raise refusal or _no_image(self._name, self._platform, [])


def choose(index: Index, platform: Platform, name: str) -> Descriptor:
    """Return the first of :func:`candidates`. Raises InvalidImageError."""
    return candidates(index, platform, name)[0]


def candidates(index: Index, platform: Platform, name: str) -> list[Descriptor]:
    """Return the entries of an index that docker could take on ``platform``, in its order.

    Those that suit it best come first; one without a platform comes last, since only its configuration
    tells. Raises InvalidImageError if there are none. Source: moby,
    daemon/internal/distribution/pull_v2_unix.go, ``filterManifests``.
    """
    suitable = [
        (rank, entry)
        for entry in index.manifests
        if entry.media_type in MANIFEST_TYPES | INDEX_TYPES | {""}
        and (rank := _preference(entry, platform)) is not None
    ]
    if suitable:
        return [entry for _, entry in sorted(suitable, key=lambda pair: pair[0])]
    for entry in index.unreadable:
        if entry.platform and platform.preference(entry.platform) is not None:
            raise InvalidImageError(f"{name} has an image for {platform} of an unknown kind: {entry.reason}")
    raise _no_image(name, platform, [entry.platform for entry in images_of(index)])


def _no_image(name: str, platform: Platform, offered: Iterable[Platform | None]) -> InvalidImageError:
    found = sorted({str(other) for other in offered})
    return InvalidImageError(
        f"{name} has no image for {platform}",
        hint=f"it has: {', '.join(found)}" if found else "its index has no images at all",
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
    for unreadable in index.unreadable:
        if not unreadable.platform or unreadable.platform.may_run_on_amd64():
            yield f"{what} has an entry of an unknown kind: {unreadable.reason}"
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
        oddities=(*manifest.oddities, *config.oddities, *check_machine(name, config, platform)),
    )


def _no_image_to_some(manifest: Manifest) -> Iterator[str]:
    """Tell why containerd would not take a manifest for an image's, which others do."""
    if manifest.config.media_type not in CONFIG_TYPES:
        yield f"its configuration is of type {manifest.config.media_type[:100]!r}, which is no image's"


def check_machine(name: str, config: ImageConfig, platform: Platform) -> Iterator[str]:
    """Compare system and architecture; where there is no choice, engines run any level of the processor.

    They run whatever architecture the configuration names, too, since builders often name that of their own
    machine: it is an oddity. Raises InvalidImageError for another system.
    """
    stated = _stated_platform(config, platform)
    if stated.machine[0] != platform.machine[0]:
        raise _no_image(name, platform, [stated])
    if stated.machine != platform.machine:
        yield f"the configuration of {name} says that it is for {stated}, not for {platform}"


def _stated_platform(config: ImageConfig, otherwise: Platform) -> Platform:
    return Platform(os=config.os or otherwise.os, architecture=config.architecture or otherwise.architecture)
