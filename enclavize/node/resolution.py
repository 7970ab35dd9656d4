"""From the images of manifests to TEE images that were made of them, by digest."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, UsageError
from enclavize.node.manifests import images_of, with_images
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import RegistryLocation
from enclavize.oci.reference import parse_reference
from enclavize.oci.resolve import resolve
from enclavize.pipeline.verify import annotations_of
from enclavize.tee.annotations import BASE_DIGEST, FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from enclavize.oci.digest import Digest
    from enclavize.oci.reference import ImageReference
    from enclavize.progress import Reporter

_ALL_BELOW = "/*"


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """``original`` names become ``converted``; both end in ``/*`` for all names below, or neither does."""

    original: str
    converted: str

    def apply(self, reference: ImageReference) -> ImageReference | None:
        """Return the converted image's name, with the same tag; None if this map is not for it."""
        if not self.original.endswith(_ALL_BELOW):
            wanted = parse_reference(self.original)
            if reference.name != wanted.name or (_has_tag(self.original) and reference.tag != wanted.tag):
                return None
            found = parse_reference(self.converted)
            return found if _has_tag(self.converted) else replace(found, tag=reference.tag)
        prefix = self.original.removesuffix("*")
        if not reference.name.startswith(prefix):
            return None
        name = self.converted.removesuffix("*") + reference.name.removeprefix(prefix)
        return replace(parse_reference(name), tag=reference.tag)


@dataclass(frozen=True, kw_only=True)
class _Found:
    digest: Digest
    is_tee: bool
    base: str


def resolve_manifests(
    text: str,
    path: str,
    maps: Sequence[NameMap],
    *,
    runtime_class: str,
    insecure: bool,
    reporter: Reporter,
) -> str:
    """Return the manifests with every image of that class pinned. Raises EnclavizeError."""
    blobs = BlobCache()

    @cache
    def find(reference: ImageReference) -> _Found:
        image = resolve(RegistryLocation(reference), cache=blobs, insecure=insecure, reporter=reporter)
        with closing(image.source):
            return _Found(
                digest=image.manifest.digest,
                is_tee=FORMAT in image.config.labels,
                base=annotations_of(image).get(BASE_DIGEST, ""),
            )

    chosen = []
    for place in images_of(text, path, runtime_class):
        where = f"{path}, line {place.line}"
        try:
            reference = parse_reference(place.image)
            pinned = _pinned(reference, maps, find)
        except EnclavizeError as error:
            raise type(error)(f"{where}: {error}", hint=error.hint) from error
        if str(pinned) != str(reference):
            chosen.append((place, str(pinned)))
    return with_images(text, chosen, path)


def _pinned(
    reference: ImageReference, maps: Sequence[NameMap], find: Callable[[ImageReference], _Found]
) -> ImageReference:
    original = find(reference)
    if original.is_tee:
        return replace(reference, digest=original.digest)
    target = next((found for item in maps if (found := item.apply(reference)) is not None), None)
    if target is None:
        raise UsageError(
            f"{reference} is not a TEE image, and nobody said what its TEE image is called",
            hint=f"add --map {reference.name}=NAME",
        )
    converted = find(target)
    if not converted.is_tee:
        raise EnclavizeError(
            f"{target} is not a TEE image", hint=f"make it: enclavize build {reference} -t {target} --push"
        )
    if converted.base != original.digest:
        raise EnclavizeError(
            f"{target} was not made of {reference} as it is now ({original.digest}), but of "
            f"{converted.base or 'an image that it does not name'}",
            hint=f"build it again: enclavize build {reference} -t {target} --push",
        )
    return replace(target, digest=converted.digest)


def _has_tag(name: str) -> bool:
    return ":" in name.rpartition("/")[2]


def parse_map(text: str) -> NameMap:
    """Read ``NAME=TEE_NAME``. Raises UsageError."""
    original, equals, converted = text.partition("=")
    if not equals or original.endswith(_ALL_BELOW) != converted.endswith(_ALL_BELOW):
        raise UsageError(f"--map {text!r} is not of the form NAME=TEE_NAME, or FOLDER/*=FOLDER/*")
    names = [name.removesuffix("*") + "any" if name.endswith("*") else name for name in (original, converted)]
    for name in names:
        if parse_reference(name).digest:
            raise UsageError(f"--map {text!r}: names have no digests")
    if not original.endswith(_ALL_BELOW):
        return NameMap(original=original, converted=converted)
    full = [f"{parse_reference(name).name.removesuffix('any')}*" for name in names]
    return NameMap(original=full[0], converted=full[1])
