"""Where the mounts of a configuration lead, as runc will see them: links are followed through earlier mounts.

A volume can hold a link to ``/.enclave``: a mount on that link lands there, although no link of the image's
leads there. What a volume holds may change between this look and runc's, so it is not the last word either:
the enclave's own folder is mounted again behind all other mounts (spec.py).
"""

from __future__ import annotations

import errno
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_SYMLINKS = 40
_NO_LINK = frozenset({errno.EINVAL, errno.ENOENT, errno.ENOTDIR})

_WITHOUT_LINKS = frozenset({"cgroup", "cgroup2", "devpts", "hugetlbfs", "mqueue", "ramfs", "tmpfs"})
"""Types of file systems that are empty when they are mounted, or never lead out of themselves."""

_PROC_LINKS = frozenset({"mounts", "net", "self", "thread-self"})
"""Names at the top of procfs that are links; those of processes have links inside."""


@dataclass(frozen=True, kw_only=True)
class _Mounted:
    """A mount that is in place. ``folder``: where its files are on the host; None: it has none of its own.

    ``name`` is what looks call that folder; None: nobody else could tell it.
    """

    at: tuple[str, ...]
    kind: str
    folder: Path | None
    name: str | int | None = None


Look = tuple[str | int, str, str | None]
"""A folder ("rootfs", "host", or the source of a mount by its number), a path below, and the target of the
link there, None if it is none."""


def check_mounts(
    mounts: Sequence[Mapping[str, Any]],
    rootfs: Path,
    bundle: Path,
    *,
    own: Sequence[Mapping[str, Any]] = (),
    reserved: Sequence[str] = (ROOT,),
) -> list[Look] | None:
    """Refuse mounts on, above or below ``/.enclave``, and those that nobody can follow.

    ``reserved`` are the names at the root that are guarded so. ``bundle`` is what relative sources are
    relative to; ``own`` ones do not count. Raises EnclavizeError.
    Returns what was seen on the way: where it is the same, the result is the same for the same mounts from
    other sources. None: that cannot be told.
    """
    container = _Container(rootfs)
    for number, mount in enumerate(mounts):
        if mount in own:
            continue
        destination = mount.get("destination")
        if not isinstance(destination, str) or not destination or "\0" in destination:
            raise InvalidImageError("config.json: a mount has no destination")
        where = container.resolve(destination)
        # Some versions of runc take ".." out of the text, others go up from where a link leads.
        if ".." in destination.split("/") and where != container.resolve(posixpath.normpath(destination)):
            raise EnclavizeError(f"the mount destination {destination} goes up from a symbolic link")
        if not where or where[0] in reserved:
            covered = where[0] if where else ROOT
            raise EnclavizeError(f"a mount on {destination} would cover /{covered} of the TEE container")
        container.add(mount, where, bundle, number)
    if any(folder is None for folder, _, _ in container.looks):
        return None
    return [(folder, path, target) for folder, path, target in container.looks if folder is not None]


def resolve_in_root(rootfs: Path, path: str) -> PurePosixPath:
    """Return where ``path`` leads inside ``rootfs``, links followed; what does not exist stays as it is."""
    return PurePosixPath("/", *_Container(rootfs).resolve(path))


class _Container:
    """The file system of a container while its mounts are made, one after the other."""

    def __init__(self, rootfs: Path) -> None:
        self._mounts = [_Mounted(at=(), kind="bind", folder=rootfs, name="rootfs")]
        self.looks: dict[tuple[str | int | None, str, str | None], None] = {}

    def add(self, mount: Mapping[str, Any], where: tuple[str, ...], bundle: Path, number: int) -> None:
        """Put a mount in place. ``number`` is what looks call it."""
        kind, source, options = mount.get("type") or "", mount.get("source") or "", mount.get("options") or []
        if not isinstance(kind, str) or not isinstance(source, str) or "\0" in source:
            raise InvalidImageError("config.json: a mount has a type or source that is no text")
        if not isinstance(options, list):
            raise InvalidImageError("config.json: the options of a mount are not a list")
        folder, name = None, None
        if kind == "bind" or not {"bind", "rbind"}.isdisjoint(filter(_is_text, options)):
            kind, folder, name = "bind", bundle / source, number
        elif kind == "tmpfs" and "tmpcopyup" in options:  # runc's own: what was there is copied, links too
            kind, folder = "bind", self._host_path(where)
        self._mounts.append(_Mounted(at=where, kind=kind, folder=folder, name=name))

    def resolve(self, path: str) -> tuple[str, ...]:
        """Return the components of where ``path`` leads. Raises EnclavizeError where that cannot be told."""
        pending = [part for part in path.split("/") if part not in ("", ".")][::-1]
        resolved: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                del resolved[-1:]
                continue
            target = self._link_target((*resolved, part), path)
            if target is None:
                resolved.append(part)
                continue
            links += 1
            if links > _MAX_SYMLINKS:
                raise EnclavizeError(f"too many symbolic links in the mount destination {path}")
            if target.startswith("/"):
                resolved = []
            pending.extend([item for item in target.split("/") if item not in ("", ".")][::-1])
        return tuple(resolved)

    def _link_target(self, parts: tuple[str, ...], path: str) -> str | None:
        """Return where a link leads, None if there is none. ``path`` is the mount's, for errors."""
        mounted = self._mounted(parts)
        below = parts[len(mounted.at) :]
        if not below:
            return None
        if mounted.kind == "proc" and (below[0] in _PROC_LINKS or below[0].isdecimal()):
            raise EnclavizeError(f"the mount destination {path} goes through links of /proc")
        folder, name = mounted.folder, mounted.name
        if mounted.kind == "sysfs":
            folder, name, below = Path("/"), "host", ("sys", *below)
        if folder is None:
            if mounted.kind in _WITHOUT_LINKS or mounted.kind == "proc":
                return None
            raise EnclavizeError(
                f"the mount destination {path} is below a mount of type {mounted.kind!r}, "
                "whose links are not known"
            )
        try:
            target = os.readlink(folder.joinpath(*below))  # noqa: PTH115 - as it is written
        except OSError as error:
            if error.errno in _NO_LINK:
                self.looks[name, "/".join(below), None] = None
                return None
            raise EnclavizeError(f"cannot follow the mount destination {path}: {error.strerror}") from error
        self.looks[name, "/".join(below), target] = None
        return target

    def _mounted(self, parts: tuple[str, ...]) -> _Mounted:
        """Return the mount on which a path lies: the last one that was made on it, or above it."""
        return next(mount for mount in reversed(self._mounts) if parts[: len(mount.at)] == mount.at)

    def _host_path(self, parts: tuple[str, ...]) -> Path | None:
        mounted = self._mounted(parts)
        return mounted.folder and mounted.folder.joinpath(*parts[len(mounted.at) :])


def _is_text(value: object) -> bool:
    return isinstance(value, str)
