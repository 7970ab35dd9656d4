"""Where an image is really read from: mirrors, caches and other locations of ``registries.conf``.

That file is what podman, skopeo and CRI-O share (containers-registries.conf(5), version 2). An image keeps
the name that the user wrote; short names are docker's, so aliases and search registries do not count here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import RegistryError, UsageError
from enclavize.oci.reference import parse_reference
from enclavize.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enclavize.oci.reference import ImageReference

SYSTEM_FILE = Path("/etc/containers/registries.conf")
MAX_SIZE = 1 << 20

_WILDCARD = "*."


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One place to read an image from."""

    reference: ImageReference
    insecure: bool


@dataclass(frozen=True, kw_only=True)
class _Mirror:
    location: str
    insecure: bool
    for_digests: bool
    for_tags: bool


@dataclass(frozen=True, kw_only=True)
class _Namespace:
    """A ``[[registry]]`` table: what holds for all images whose name begins with ``prefix``."""

    prefix: str
    location: str
    insecure: bool
    blocked: bool
    mirrors: tuple[_Mirror, ...]
    origin: Path

    def matches(self, name: str) -> bool:
        if self.prefix.startswith(_WILDCARD):
            return name.partition("/")[0].partition(":")[0].endswith(self.prefix[1:])
        rest = name.removeprefix(self.prefix)
        return name.startswith(self.prefix) and (not rest or rest[0] in "/:@")

    def moved(self, reference: ImageReference, location: str) -> ImageReference:
        """Return the reference with ``location`` instead of the prefix. Raises UsageError."""
        if not location:
            return reference
        prefix = reference.registry if self.prefix.startswith(_WILDCARD) else self.prefix
        try:
            return parse_reference(location + str(reference).removeprefix(prefix))
        except UsageError as error:
            raise UsageError(f"{self.origin}: the location {location[:100]!r} is none: {error}") from error


def endpoints_of(reference: ImageReference, *, insecure: bool) -> Iterator[Endpoint]:
    """Yield the places to try in turn, mirrors first. Raises UsageError, RegistryError if it is blocked."""
    namespaces = [namespace for namespace in _namespaces() if namespace.matches(str(reference))]
    if not namespaces:
        yield Endpoint(reference=reference, insecure=insecure)
        return
    chosen = max(namespaces, key=lambda namespace: len(namespace.prefix))
    if chosen.blocked:
        raise RegistryError(
            f"{reference} is blocked on this machine",
            hint=f"{chosen.origin} says so, for everything that begins with {chosen.prefix}",
        )
    for mirror in chosen.mirrors:
        if mirror.for_digests if reference.digest else mirror.for_tags:
            yield Endpoint(
                reference=chosen.moved(reference, mirror.location), insecure=insecure or mirror.insecure
            )
    yield Endpoint(reference=chosen.moved(reference, chosen.location), insecure=insecure or chosen.insecure)


def _namespaces() -> list[_Namespace]:
    """Read all files; of two tables with one prefix the later counts."""
    found: dict[str, _Namespace] = {}
    for path in _files():
        for table in _tables(read_toml(path, "list of registries", MAX_SIZE), "registry", path):
            namespace = _namespace(table, path)
            found[namespace.prefix] = namespace
    return list(found.values())


def _files() -> Iterator[Path]:
    """Yield the files that are there, in the order in which podman reads them."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "containers/registries.conf"
    if chosen := os.environ.get("CONTAINERS_REGISTRIES_CONF"):
        yield Path(chosen)
        return
    mains = [home] if home.exists() else [SYSTEM_FILE, home]
    for main in mains:
        if main.exists():
            yield main
        folder = main.with_name(f"{main.name}.d")
        yield from sorted(folder.glob("*.conf")) if folder.is_dir() else ()


def _tables(document: Mapping[str, Any], name: str, path: Path) -> Sequence[Mapping[str, Any]]:
    tables = document.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: {name!r} is not an array of tables")
    return tables


def _namespace(table: Mapping[str, Any], path: Path) -> _Namespace:
    location = _text(table, "location", path)
    prefix = _text(table, "prefix", path) or location
    if not prefix:
        raise UsageError(f"{path}: a registry has neither prefix nor location")
    digests_only = _flag(table, "mirror-by-digest-only", path)
    return _Namespace(
        prefix=prefix,
        location=location if location != prefix else "",
        insecure=_flag(table, "insecure", path),
        blocked=_flag(table, "blocked", path),
        mirrors=tuple(
            _mirror(mirror, path, digests_only=digests_only) for mirror in _tables(table, "mirror", path)
        ),
        origin=path,
    )


def _mirror(table: Mapping[str, Any], path: Path, *, digests_only: bool) -> _Mirror:
    location = _text(table, "location", path)
    if not location:
        raise UsageError(f"{path}: a mirror has no location")
    kind = _text(table, "pull-from-mirror", path) or ("digest-only" if digests_only else "all")
    if kind not in {"all", "digest-only", "tag-only"}:
        raise UsageError(
            f"{path}: pull-from-mirror is {kind[:40]!r}", hint="it is all, digest-only or tag-only"
        )
    return _Mirror(
        location=location,
        insecure=_flag(table, "insecure", path),
        for_digests=kind != "tag-only",
        for_tags=kind != "digest-only",
    )


def _text(table: Mapping[str, Any], name: str, path: Path) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise UsageError(f"{path}: {name} is {value!r}, not a text"[:300])
    return value.rstrip("/")


def _flag(table: Mapping[str, Any], name: str, path: Path) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{path}: {name} is {value!r}, neither true nor false"[:300])
    return value
