"""``enclavize diff``: what differs between two images, file by file and fact by fact."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.libos.formats import format_of
from enclavize.libos.occlum.format import BUILD
from enclavize.libos.occlum.layout import ROOT_IMAGE
from enclavize.libos.occlum.rootfs import read_rootfs
from enclavize.libos.occlum.sefs.image import states_encryption
from enclavize.libos.occlum.sefs.keys import read_image_key
from enclavize.oci.cache import BlobCache
from enclavize.oci.resolve import resolve
from enclavize.pipeline.workspace import workspace
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.index import index_image
from enclavize.tee import layout
from enclavize.tee.annotations import FORMAT
from enclavize.tee.contents import read_contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.oci.location import Location
    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs


_NOT_PACKED = frozenset({"owner", "time", "device", "xattrs", "hard_link"})
"""What SEFS images do not keep of a file."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A value that differs; None where an image does not have it."""

    name: str
    values: tuple[Any, Any]


@dataclass(frozen=True, kw_only=True)
class ChangedFile:
    """A path that both images have: what about it differs, with both values."""

    path: str
    changes: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """All that differs between two images. Paths are absolute."""

    images: tuple[str, str]
    facts: tuple[Fact, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[ChangedFile, ...]

    @property
    def equal(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.facts or self.removed or self.added or self.changed)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "images": list(self.images),
            "equal": self.equal,
            "facts": {fact.name: list(fact.values) for fact in self.facts},
            "files": {
                "removed": list(self.removed),
                "added": list(self.added),
                "changed": {
                    file.path: {name: list(values) for name, values in file.changes.items()}
                    for file in self.changed
                },
            },
        }


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One image. Of files in an SEFS image not all attributes are known; None: none is, without the key."""

    name: str
    is_tee: bool
    facts: Mapping[str, Any]
    rootfs: Rootfs | None
    packed: bool = False


def diff_images(
    first: Location,
    second: Location,
    *,
    image_key: Path | None,
    ignore_times: bool,
    insecure: bool,
    reporter: Reporter,
) -> Difference:
    """Compare two images, of which none, one or both may be TEE images. Raises EnclavizeError.

    Facts are compared where both images have the same kind of them. The enclave's own files are compared by
    the description, not as files. ``image_key`` is the file with the key of encrypted Occlum images.
    """
    cache = BlobCache()
    key = read_image_key(image_key) if image_key is not None else None
    sides = []
    for location in (first, second):
        with workspace(cache) as workdir:
            image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
            with closing(image.source):
                sides.append(_side(image, workdir, cache, key, reporter))
    with reporter.task("compare") as task:
        for side in sides:
            if side.rootfs is None:
                task.warn(f"{side.name}: its files are encrypted, and cannot be compared without --image-key")
        return _compared(*sides, ignore_times=ignore_times)


def _side(image: Image, workdir: Path, cache: BlobCache, key: bytes | None, reporter: Reporter) -> _Side:
    rootfs = index_image(image, cache=cache, reporter=reporter)
    if FORMAT not in image.config.labels:
        return _Side(name=image.name, is_tee=False, facts=_configuration(image.config), rootfs=rootfs)
    contents = read_contents(image, format_of(image), workdir, cache)
    facts = {**contents.description.to_json(), "measured": contents.format.measured(contents)}
    packed = contents.path(f"{BUILD}/{ROOT_IMAGE}")
    if contents.description.libos != "occlum":
        return _Side(name=image.name, is_tee=True, facts=facts, rootfs=rootfs)
    with reporter.task(f"read the files of {image.name}"):
        readable = key is not None or not states_encryption(packed)
        files = read_rootfs(packed, key if states_encryption(packed) else None) if readable else None
    return _Side(name=image.name, is_tee=True, facts=facts, rootfs=files, packed=True)


def _configuration(config: ImageConfig) -> dict[str, Any]:
    """Return what an engine would run."""
    return {
        "entrypoint": list(config.entrypoint),
        "cmd": list(config.cmd),
        "env": list(config.env),
        "working_dir": config.working_dir,
        "user": config.user,
        "stop_signal": config.stop_signal,
        "volumes": list(config.volumes),
        "exposed_ports": list(config.exposed_ports),
    }


def _compared(first: _Side, second: _Side, *, ignore_times: bool) -> Difference:
    comparable = first.rootfs is not None and second.rootfs is not None
    files = [_files(side.rootfs) if comparable else {} for side in (first, second)]
    paths = [sorted(side) for side in files]
    ignored = _NOT_PACKED if first.packed or second.packed else frozenset({"time"} if ignore_times else ())
    changed = []
    for path in paths[0]:
        if path in files[1]:
            changes = _changes(files[0][path], files[1][path], ignored)
            if changes:
                changed.append(ChangedFile(path=f"/{path}", changes=changes))
    return Difference(
        images=(first.name, second.name),
        facts=tuple(_facts(first.facts, second.facts)) if first.is_tee == second.is_tee else (),
        removed=tuple(f"/{path}" for path in paths[0] if path not in files[1]),
        added=tuple(f"/{path}" for path in paths[1] if path not in files[0]),
        changed=tuple(changed),
    )


def _files(rootfs: Rootfs | None) -> dict[str, Entry]:
    """Return the files that the enclave shows to programs, by path."""
    return {
        entry.path: entry
        for entry in (rootfs.entries if rootfs else ())
        if entry.path != layout.ROOT and not entry.path.startswith(f"{layout.ROOT}/")
    }


def _changes(one: Entry, other: Entry, ignored: frozenset[str]) -> dict[str, tuple[Any, Any]]:
    before, after = _attributes(one), _attributes(other)
    return {
        name: (before[name], after[name])
        for name in before
        if before[name] != after[name] and name not in ignored
    }


def _attributes(entry: Entry) -> dict[str, Any]:
    """Return all that is measured about a file, as JSON values."""
    return {
        "type": str(entry.type),
        "content": f"sha256:{entry.sha256.hex()}" if entry.type is FileType.REGULAR else None,
        "target": entry.link_target or None,
        "mode": f"{entry.mode:04o}",
        "owner": f"{entry.uid}:{entry.gid}",
        "time": entry.mtime,
        "device": f"{entry.rdev[0]}:{entry.rdev[1]}" if any(entry.rdev) else None,
        "xattrs": {name: value.hex() for name, value in sorted(entry.xattrs.items())},
        "hard_link": entry.data_path if entry.data_path not in ("", entry.path) else None,
    }


def _facts(one: Any, other: Any, name: str = "") -> Iterator[Fact]:
    """Yield what differs between two JSON values: of lists, what only one of them has, or else both."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            yield from _facts(one.get(key), other.get(key), f"{name}.{key}" if name else str(key))
    elif isinstance(one, list) and isinstance(other, list) and one != other:
        only = _without(one, other), _without(other, one)
        yield Fact(name=name, values=only if any(only) else (one, other))
    elif one != other:
        yield Fact(name=name, values=(one, other))


def _without(items: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    known = set(map(repr, others))
    return [item for item in items if repr(item) not in known]
