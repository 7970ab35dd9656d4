"""Which image of an index is taken, and of which indexes all engines take the same."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from enclavize.errors import InvalidImageError, UsageError
from enclavize.oci import media_types
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.limits import MAX_INDEX_LOOKS
from enclavize.oci.manifest import Index
from enclavize.oci.platform import LINUX_AMD64, Platform, parse_platform
from enclavize.oci.select import ambiguities_of, choose, select_image
from support.images import BuiltIndex, build_image, build_index, file

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.oci.stream import Sink
    from support.images import BuiltImage

MACHINES = (("a", "x86_64"), ("b", "amd64"))


def entry(platform: str | None, media_type: str = media_types.OCI_MANIFEST) -> Descriptor:
    """Return an index entry that is told apart by its digest."""
    digest = sha256_digest(f"{platform} {media_type}".encode())
    parsed = parse_platform(platform) if platform else None
    return Descriptor(media_type=media_type, digest=digest, size=1, platform=parsed)


def index_of(*entries: Descriptor) -> Index:
    """Return an index."""
    return Index(media_type=media_types.OCI_INDEX, manifests=entries)


def test_the_first_fitting_entry_is_chosen() -> None:
    wanted = entry("linux/amd64")
    others = (entry("unknown/unknown"), entry("linux/arm64"), entry("windows/amd64"))
    assert choose(index_of(*others, wanted, entry("linux/amd64/v3")), LINUX_AMD64, "x") == wanted


def test_attestations_are_not_offered_as_images() -> None:
    with pytest.raises(InvalidImageError) as caught:
        choose(index_of(entry("unknown/unknown"), entry("linux/arm64")), LINUX_AMD64, "x")
    assert caught.value.hint == "it has: linux/arm64"


def test_an_image_without_platform_is_chosen_where_no_platform_fits() -> None:
    assert choose(index_of(entry(None)), LINUX_AMD64, "x") == entry(None)
    assert choose(index_of(entry(None), entry("linux/arm64")), LINUX_AMD64, "x") == entry(None)
    assert choose(index_of(entry(None), entry("linux/amd64")), LINUX_AMD64, "x") == entry("linux/amd64")


def test_a_nested_index_is_followed() -> None:
    nested = entry(None, media_types.OCI_INDEX)
    assert choose(index_of(entry("linux/arm64"), nested), LINUX_AMD64, "x") == nested


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("linux/amd64", ("linux", "amd64", "")),
        ("linux/amd64/v1", ("linux", "amd64", "")),
        ("linux/amd64/v2", ("linux", "amd64", "v2")),
        ("Linux/AMD64/V3", ("linux", "amd64", "v3")),
        ("linux/x86_64", ("linux", "amd64", "")),
        ("linux/x86-64/v2", ("linux", "amd64", "v2")),
        ("linux/i386", ("linux", "386", "")),
        ("linux/aarch64", ("linux", "arm64", "")),
        ("linux/arm64/v8", ("linux", "arm64", "")),
        ("linux/arm64/8", ("linux", "arm64", "")),
        ("linux/arm64/9.0", ("linux", "arm64", "v9")),
        ("linux/arm", ("linux", "arm", "v7")),
        ("linux/arm/6", ("linux", "arm", "v6")),
        ("linux/armhf", ("linux", "arm", "v7")),
        ("linux/armel/v7", ("linux", "arm", "v6")),
        ("macos/arm64", ("darwin", "arm64", "")),
        ("windows/amd64", ("windows", "amd64", "")),
        ("amd64", ("linux", "amd64", "")),
        ("X86_64", ("linux", "amd64", "")),
        ("linux", ("linux", "amd64", "")),
        ("macos", ("darwin", "amd64", "")),
        ("arm64", ("linux", "arm64", "")),
        ("armhf", ("linux", "arm", "v7")),
        ("i386", ("linux", "386", "")),
    ],
)
def test_platforms_have_the_names_that_containerd_gives_them(
    written: str, usual: tuple[str, str, str]
) -> None:
    normal = parse_platform(written).normalized()
    assert (normal.os, normal.architecture, normal.variant) == usual


@pytest.mark.parametrize("text", ["", "/", "x", "amd65", "linux/", "/amd64", "linux/amd64/", "a/b/c/d"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a platform"):
        parse_platform(text)


def test_a_platform_without_a_system_is_for_linux() -> None:
    assert LINUX_AMD64.preference(Platform(os="", architecture="amd64")) == 0
    assert LINUX_AMD64.preference(Platform(os="linux", architecture="")) is None


@pytest.mark.parametrize(
    ("here", "there", "rank"),
    [
        ("linux/amd64", "linux/x86_64/v1", 0),
        ("linux/amd64", "linux/amd64/v2", None),
        ("linux/amd64", "linux/386", None),
        ("linux/amd64/v3", "linux/amd64/v3", 0),
        ("linux/amd64/v3", "linux/amd64/v2", 1),
        ("linux/amd64/v3", "linux/amd64", 2),
        ("linux/amd64/v3", "linux/amd64/2", None),
        ("linux/amd64/v3", "linux/amd64/v4", None),
        ("linux/amd64", "windows/amd64", None),
    ],
)
def test_a_processor_runs_lower_levels(here: str, there: str, rank: int | None) -> None:
    assert parse_platform(here).preference(parse_platform(there)) == rank


def test_the_best_level_is_chosen() -> None:
    index = index_of(*map(entry, ("linux/amd64", "linux/amd64/v4", "linux/amd64/v2")))
    assert choose(index, parse_platform("linux/amd64/v3"), "x") == entry("linux/amd64/v2")
    assert choose(index, LINUX_AMD64, "x") == entry("linux/amd64")


def test_an_image_for_newer_processors_alone_is_not_chosen() -> None:
    with pytest.raises(InvalidImageError) as caught:
        choose(index_of(entry("linux/amd64/v3")), LINUX_AMD64, "x")
    assert caught.value.hint == "it has: linux/amd64/v3"


def ambiguities(*platforms: str | None) -> list[str]:
    """Return what is said of an index with one entry for each platform."""
    index = index_of(*map(entry, platforms))
    return list(ambiguities_of(index, choose(index, LINUX_AMD64, "x"), "the index"))


@pytest.mark.parametrize(
    "platforms",
    [
        ("linux/amd64",),
        (None,),
        ("linux/amd64", "unknown/unknown"),
        ("unknown/unknown", None),
        ("linux/arm64", "linux/amd64", "linux/ppc64le", "linux/arm/v7", "windows/amd64", "darwin/amd64"),
        ("linux/aarch64/v8", "linux/x86_64"),
        ("linux/amd64", "linux/amd64"),
    ],
)
def test_an_index_with_one_image_that_could_run_has_one_reading(platforms: tuple[str | None, ...]) -> None:
    assert ambiguities(*platforms) == []


@pytest.mark.parametrize(
    "platforms",
    [
        ("linux/amd64/v3", "linux/amd64"),
        ("linux/amd64", "linux/amd64/v2"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64", "linux/x86-64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64", "linux/386"),
        ("linux/amd64", None),
        (None, "linux/amd64"),
        (None, "linux/arm64"),
        ("linux/amd64", "linux/amd64p32"),
        ("linux/amd64", "linux/x64"),
        ("linux/amd64", "unknown/amd64"),
        ("linux/amd64", "linux/unknown"),
    ],
)
def test_an_index_from_which_engines_could_take_two_images_is_no_base_of_trust(
    platforms: tuple[str | None, ...],
) -> None:
    assert len(ambiguities(*platforms)) == 1


def test_two_entries_for_one_platform_are_two_images() -> None:
    other = Descriptor(
        media_type=media_types.OCI_MANIFEST,
        digest=sha256_digest(b"other"),
        size=1,
        platform=LINUX_AMD64,
    )
    index = index_of(entry("linux/amd64"), other)
    assert choose(index, LINUX_AMD64, "x") == entry("linux/amd64")
    assert list(ambiguities_of(index, entry("linux/amd64"), "the index"))


def test_an_entry_of_unknown_type_counts_too() -> None:
    odd = Descriptor(
        media_type="application/json", digest=sha256_digest(b"odd"), size=1, platform=LINUX_AMD64
    )
    index = index_of(odd, entry("linux/amd64"))
    assert choose(index, LINUX_AMD64, "x") == entry("linux/amd64")
    assert list(ambiguities_of(index, entry("linux/amd64"), "the index"))


class _Memory:
    """Blobs in memory."""

    origin = None
    remote = False

    def __init__(self, blobs: dict[Digest, bytes]) -> None:
        self._blobs = blobs

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a blob."""
        del advance, sink
        return io.BytesIO(self._blobs[descriptor.digest])

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest."""
        return self._blobs[descriptor.digest]

    def close(self) -> None:
        """Nothing is open."""


def selected(document: BuiltImage | BuiltIndex) -> Image:
    """Return the image for linux/amd64."""
    data = document.index_bytes if isinstance(document, BuiltIndex) else document.manifest_bytes
    return select_image("x", document.descriptor, data, _Memory(dict(document.blobs)), LINUX_AMD64)


def test_an_ordinary_image_has_one_reading() -> None:
    image = build_image([[file("a")]])
    arm = build_image([[file("b")]], platform=("linux", "arm64"))
    selected(image).require_one_reading()
    selected(build_index([arm, image], attestations=True)).require_one_reading()


def test_an_index_inside_another_is_no_base_of_trust() -> None:
    image = build_image([[file("a")]])
    with pytest.raises(InvalidImageError, match="inside another"):
        selected(build_index([build_index([image])])).require_one_reading()


def test_two_images_for_one_machine_are_no_base_of_trust() -> None:
    images = [build_image([[file(name)]], platform=("linux", machine)) for name, machine in MACHINES]
    with pytest.raises(InvalidImageError, match="2 images that could run on linux/amd64"):
        selected(build_index(images)).require_one_reading()


@pytest.mark.parametrize("name", [b"manifests", b"platform"])
def test_an_index_with_names_in_another_case_is_no_base_of_trust(name: bytes) -> None:
    index = build_index([build_image([[file("a")]])])
    changed = replace(index, index_bytes=index.index_bytes.replace(name, name.title()))
    with pytest.raises(InvalidImageError, match=r"index .* spells"):
        selected(changed).require_one_reading()


def test_nor_is_a_configuration_of_another_type() -> None:
    image = build_image([[file("a")]])
    changed = replace(image, manifest_bytes=image.manifest_bytes.replace(b".image.config.", b".x.config."))
    with pytest.raises(InvalidImageError, match="its configuration is of type"):
        selected(changed).require_one_reading()


def test_nor_are_a_manifest_and_a_configuration() -> None:
    image = build_image([[file("a")]])
    changed = replace(image, manifest_bytes=image.manifest_bytes.replace(b"layers", b"Layers"))
    with pytest.raises(InvalidImageError, match="manifest spells 'Layers'"):
        selected(changed).require_one_reading()
    changed = build_image([[file("a")]], config={"entrypoint": ["/bin/sh"]})
    assert selected(changed).config.entrypoint == ("/bin/sh",)
    with pytest.raises(InvalidImageError, match="configuration spells 'entrypoint'"):
        selected(changed).require_one_reading()


def with_entries(index: BuiltIndex, change: Callable[[list[dict[str, Any]]], object]) -> BuiltIndex:
    """Return an index with other entries."""
    document = json.loads(index.index_bytes)
    change(document["manifests"])
    return replace(index, index_bytes=json.dumps(document).encode())


def bare(entries: list[dict[str, Any]]) -> None:
    """Take the platforms away."""
    for found in entries:
        found.pop("platform", None)


IMAGE = build_image([[file("a")]])
ARM = build_image([[file("b")]], platform=("linux", "arm64"))
ARTIFACT = build_image([[file("c")]], change_config={"rootfs": None})


@pytest.mark.parametrize("first", [ARM, ARTIFACT])
def test_of_entries_without_a_platform_their_configuration_tells(first: BuiltImage) -> None:
    index = with_entries(build_index([first, IMAGE]), bare)
    assert selected(index).config_bytes == IMAGE.config_bytes
    with pytest.raises(InvalidImageError, match="2 images that could run"):
        selected(index).require_one_reading()


def test_where_no_configuration_suits_the_first_reason_is_told() -> None:
    with pytest.raises(InvalidImageError, match="no image for linux/amd64"):
        selected(with_entries(build_index([ARM, ARTIFACT]), bare))


def test_not_without_end() -> None:
    many = with_entries(build_index([ARM] * 1000), bare)
    looked = []

    class Counting(_Memory):
        def read_manifest(self, descriptor: Descriptor) -> bytes:
            looked.append(descriptor.digest)
            return super().read_manifest(descriptor)

    with pytest.raises(InvalidImageError, match="no image for linux/amd64"):
        select_image("x", many.descriptor, many.index_bytes, Counting(dict(many.blobs)), LINUX_AMD64)
    assert len(looked) == MAX_INDEX_LOOKS


@pytest.mark.parametrize("change", [{"size": None}, {"size": 0}, {"mediaType": None}, {"mediaType": ""}])
def test_an_entry_without_size_or_type_is_taken(change: dict[str, Any]) -> None:
    index = with_entries(build_index([ARM, IMAGE]), lambda entries: entries[1].update(change))
    image = selected(index)
    assert image.config_bytes == IMAGE.config_bytes
    assert image.manifest.size == len(IMAGE.manifest_bytes)


def test_an_entry_of_an_unknown_kind_for_this_machine_is_told() -> None:
    strange = {"digest": "blake3:" + "a" * 64}
    index = with_entries(build_index([ARM, IMAGE]), lambda entries: entries[1].update(strange))
    with pytest.raises(InvalidImageError, match=r"an image for linux/amd64 of an unknown kind: .*blake3"):
        selected(index)


def test_an_entry_of_an_unknown_kind_beside_ours_is_no_base_of_trust_unless_it_runs_elsewhere() -> None:
    strange = {"digest": "blake3:" + "a" * 64}
    foreign = with_entries(build_index([ARM, IMAGE]), lambda entries: entries[0].update(strange))
    selected(foreign).require_one_reading()
    doubtful = with_entries(build_index([IMAGE, IMAGE]), lambda entries: entries[1].update(strange))
    with pytest.raises(InvalidImageError, match="an entry of an unknown kind"):
        selected(doubtful).require_one_reading()


@pytest.mark.parametrize("architecture", ["arm64", "x86_64", "amd64", "", None])
def test_the_architecture_in_a_configuration_is_told_where_it_is_another(architecture: str | None) -> None:
    image = build_image([[file("a")]], change_config={"architecture": architecture})
    index = with_entries(
        build_index([image]),
        lambda entries: entries[0].update(platform={"os": "linux", "architecture": "amd64"}),
    )
    for built in (image, index):
        found = selected(built)
        assert [oddity for oddity in found.oddities if "is for linux/arm64" in oddity] == (
            list(found.oddities) if architecture == "arm64" else []
        )


def test_an_image_of_another_system_is_refused() -> None:
    with pytest.raises(InvalidImageError, match="no image for linux/amd64"):
        selected(build_image([[file("a")]], platform=("windows", "amd64")))


def test_an_odd_image_is_no_base_of_trust() -> None:
    with pytest.raises(InvalidImageError, match=r"to all readers: .*'Labels'"):
        selected(build_image([[file("a")]], config={"Labels": []})).require_one_reading()
