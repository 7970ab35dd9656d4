"""Occlum.json, checked: what an instance may use, what it starts, what it mounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError, UsageError
from enclavize.libos.occlum import schema
from enclavize.libos.occlum.mount_targets import order_problems
from enclavize.libos.occlum.schema import bytes_of
from enclavize.libos.occlum.versions import Change
from enclavize.oci.document import parse_document as parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from enclavize.libos.occlum.versions import Release

MAX_SIZE = 1 << 20
"""Bytes of an Occlum.json."""

PAGE_SIZE = 4096
MIN_CACHE_SIZE = 48 * PAGE_SIZE
MIN_DISK_SIZE = 5 << 30

_KIB = 1 << 10
_LAYERS = ["sefs", "sefs"]
_EDMM_HEAP_MAX = 1 << 30
_EDMM_USER_SPACE_MAX = 16 << 30
_EDMM_THREADS_MAX = 4096
_EDMM_THREADS_INIT = 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the enclave is given, in bytes and threads."""

    user_space_init: int
    user_space_max: int
    kernel_heap_init: int
    kernel_heap_max: int
    kernel_stack: int
    threads_init: int
    threads_max: int


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """An Occlum.json that one release takes. ``document`` is it, as JSON; do not change it."""

    release: Release
    document: Mapping[str, Any]
    edmm: bool
    limits: Limits

    @property
    def debuggable(self) -> bool:
        """Whether the host may read the enclave."""
        return bool(self.document["metadata"]["debuggable"])


def check_configuration(document: object, release: Release, *, edmm: bool = False) -> Configuration:
    """Check an Occlum.json for a release; ``edmm`` is asked for beside ``feature.enable_edmm``.

    Raises UsageError with all that is wrong.
    """
    if found := schema.problems(document, release):
        raise refusal(found)
    assert isinstance(document, dict)
    edmm = edmm or bool(document.get("feature", {}).get("enable_edmm"))
    limits = _limits(document["resource_limits"], release, edmm=edmm)
    found = [
        *_limit_problems(limits, document),
        *_process_problems(document["process"], limits, release),
        *_kss_problems(document["metadata"]),
        *_root_problems(document["mount"]),
        *order_problems(document["mount"]),
        *_mount_problems(document["mount"], "mount", limits),
    ]
    if edmm and not release.has(Change.EDMM):
        found.append(f"EDMM does not exist in Occlum {release}")
    if found:
        raise refusal(found)
    return Configuration(release=release, document=document, edmm=edmm, limits=limits)


def parse_document(text: bytes, what: str) -> dict[str, Any]:
    """Read the JSON of an Occlum.json. Raises UsageError."""
    if len(text) > MAX_SIZE:
        raise UsageError(f"{what} has more than {MAX_SIZE} bytes")
    try:
        return dict(parse_json(text, what).members)
    except InvalidImageError as error:
        raise UsageError(str(error)) from error


def load_document(path: Path) -> dict[str, Any]:
    """Read an Occlum.json. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return parse_document(file.read(MAX_SIZE + 1), str(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def root_image_layer(mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mount that carries the MAC of the root image, of a configuration that was checked."""
    root = next(mount for mount in mounts if _is_root(mount))
    return next(layer for layer in root["options"]["layers"] if _is_image(layer))


def refusal(found: Sequence[str]) -> UsageError:
    """Return the error that tells all that was found."""
    lines = "".join(f"\n  {problem}" for problem in found[1:])
    return UsageError(f"Occlum.json: {found[0]}{lines}", hint="see docs/occlum.md, section 2")


def _limits(given: Mapping[str, Any], release: Release, *, edmm: bool) -> Limits:
    """Apply what Occlum's tool makes of the limits (tools/gen_internal_conf/src/main.rs)."""

    def size(name: str, default: int) -> int:
        return bytes_of(given[name]) if name in given else default

    threads = given["max_num_of_threads"]
    user_space, heap = size("user_space_size", 0), size("kernel_space_heap_size", 0)
    user_space_max, heap_max = (
        size("user_space_max_size", user_space),
        size("kernel_space_heap_max_size", heap),
    )
    threads_init = threads_max = threads
    if edmm:
        threads_init = given.get("init_num_of_threads", min(_EDMM_THREADS_INIT, threads))
        threads_max = max(threads, _EDMM_THREADS_MAX)
        user_space_max = max(user_space_max, _EDMM_USER_SPACE_MAX)
        heap_max = max(heap_max, _EDMM_HEAP_MAX)
    elif release.has(Change.EDMM):
        heap = heap_max
    elif release.has(Change.DYNAMIC_KERNEL_HEAP):
        heap_max = size("kernel_space_heap_max_size", max(heap, _EDMM_HEAP_MAX))
        threads_max = max(threads, _EDMM_THREADS_MAX)
    return Limits(
        user_space_init=user_space,
        user_space_max=user_space_max,
        kernel_heap_init=heap,
        kernel_heap_max=heap_max,
        kernel_stack=size("kernel_space_stack_size", 0),
        threads_init=threads_init,
        threads_max=threads_max,
    )


def _limit_problems(limits: Limits, document: Mapping[str, Any]) -> Iterator[str]:
    given = document["resource_limits"]
    names = {
        "user_space_size": limits.user_space_init,
        "user_space_max_size": limits.user_space_max,
        "kernel_space_heap_size": limits.kernel_heap_init,
        "kernel_space_heap_max_size": limits.kernel_heap_max,
        "kernel_space_stack_size": limits.kernel_stack,
    }
    for name in names:
        if name in given and bytes_of(given[name]) % PAGE_SIZE:
            yield f"resource_limits.{name} is {given[name]}, not a multiple of {PAGE_SIZE} bytes"
    for name in ("user_space", "kernel_space_heap"):
        largest = f"{name}_max_size"
        if largest in given and bytes_of(given[f"{name}_size"]) > bytes_of(given[largest]):
            first = given[f"{name}_size"]
            yield f"resource_limits.{name}_size is {first}, more than {largest}, {given[largest]}"
    if limits.threads_init > limits.threads_max:
        yield (
            f"resource_limits.init_num_of_threads is {limits.threads_init}, more than the "
            f"{limits.threads_max} that there can be"
        )
    if limits.kernel_stack < 2 * PAGE_SIZE:
        yield f"resource_limits.kernel_space_stack_size is {limits.kernel_stack} bytes, less than two pages"


def _process_problems(process: Mapping[str, str], limits: Limits, release: Release) -> Iterator[str]:
    """The first process needs room for its program and loader, too."""
    names = ["default_stack_size", "default_heap_size"]
    if not release.has(Change.SHARED_USER_SPACE):
        names.append("default_mmap_size")
    needed = sum(bytes_of(process[name]) for name in names)
    if needed >= limits.user_space_max:
        yield (
            f"process.{', '.join(names[:-1])} and {names[-1]} make {needed // _KIB} KB, and there are "
            f"{limits.user_space_max // _KIB} KB of user space: no process could start"
        )


def _kss_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    if metadata.get("enable_kss", True):
        return
    for name in ("family_id", "ext_prod_id"):
        if any(int(metadata[name][half], 16) for half in ("high", "low")):
            yield f"metadata.{name} is set, but metadata.enable_kss is false: it would be left out"


def _root_problems(mounts: list[dict[str, Any]]) -> Iterator[str]:
    root = next((mount for mount in mounts if _is_root(mount)), None)
    if root is None:
        yield "mount has no unionfs at /, which is the root file system"
        return
    layers = root.get("options", {}).get("layers")
    if layers is None:
        yield "mount: the unionfs at / has no options.layers"
        return
    if not any(map(_is_image, layers)):
        yield "mount: no layer of the unionfs at / is a sefs at / with options.MAC, which is the image"
    if not any(layer["type"] == "sefs" and not _has_mac(layer) for layer in layers):
        yield "mount: no layer of the unionfs at / is a sefs without options.MAC, to which files are written"


def _mount_problems(mounts: list[dict[str, Any]], where: str, limits: Limits) -> Iterator[str]:
    for index, mount in enumerate(mounts):
        name, options = f"{where}[{index}]", mount.get("options", {})
        if mount["type"] == "hostfs" and "source" not in mount:
            yield f"{name}: a hostfs needs a source, the folder of the host"
        if mount["type"] == "sefs" and "source" not in mount:
            yield f"{name}: a sefs needs a source, the folder of its image"
        if options.get("temporary") and "MAC" in options:
            yield f"{name}: a sefs with options.MAC cannot be temporary"
        if mount["type"] == "unionfs" and [layer["type"] for layer in options.get("layers", ())] != _LAYERS:
            yield f"{name}: a unionfs needs options.layers, two of type sefs"
        if "cache_size" in options:
            yield from _cache_problems(f"{name}.options.cache_size", options["cache_size"], limits)
        if mount["type"] == "ext2" and "disk_size" not in options:
            yield f"{name}: an ext2 needs options.disk_size"
        if "disk_size" in options and bytes_of(options["disk_size"]) < MIN_DISK_SIZE:
            yield f"{name}.options.disk_size is {options['disk_size']}, less than 5GB"
        if "layers" in options:
            yield from _mount_problems(options["layers"], f"{name}.options.layers", limits)


def _cache_problems(name: str, text: str, limits: Limits) -> Iterator[str]:
    size = bytes_of(text)
    if size < MIN_CACHE_SIZE:
        yield f"{name} is {text}, less than {MIN_CACHE_SIZE // _KIB}KB"
    if size % PAGE_SIZE:
        yield f"{name} is {text}, not a multiple of {PAGE_SIZE} bytes"
    if size > limits.kernel_heap_max:
        yield (
            f"{name} is {text}, more than the kernel's heap of {limits.kernel_heap_max // _KIB} KB, in which "
            "the cache is"
        )


def _is_root(mount: Mapping[str, Any]) -> bool:
    return bool(mount["target"] == "/" and mount["type"] == "unionfs")


def _is_image(layer: Mapping[str, Any]) -> bool:
    return bool(layer["target"] == "/" and layer["type"] == "sefs" and _has_mac(layer))


def _has_mac(mount: Mapping[str, Any]) -> bool:
    return "MAC" in mount.get("options", {})
