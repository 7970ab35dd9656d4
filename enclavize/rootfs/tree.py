"""The merged tree of an image, and path resolution inside it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import PATH_MAX, Entry, FileType, path_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_SYMLINKS = 40
"""Symbolic links followed in one resolution (MAXSYMLINKS in Linux)."""


def sort_key(path: str) -> bytes:
    """Order paths by their bytes; the order of surrogates is another one."""
    return path_bytes(path)


class Rootfs:
    """The files of an image after all layers are applied.

    ``entries`` holds every path once, sorted by bytes, the root first; every parent is there.
    ``merkle_reader`` finds the Merkle tree of a file.
    """

    def __init__(self, entries: Iterable[Entry], *, merkle_reader: Callable[[Entry], bytes]) -> None:
        self._by_path = {entry.path: entry for entry in entries}
        self._by_path.setdefault("", Entry(path="", type=FileType.DIRECTORY, mode=0o755))
        self.entries = tuple(sorted(self._by_path.values(), key=lambda entry: sort_key(entry.path)))
        self._merkle_reader = merkle_reader
        self._targets: dict[str, tuple[Entry | int, int]] = {}
        """Where links lead, by their paths: a file or an errno, and how many links there are on the way."""
        self._too_few: dict[str, int] = {}
        """Numbers of links with which one does not get to the end of a link."""
        self._children: dict[str, list[Entry]] = {}
        for entry in self.entries[1:]:
            self._children.setdefault(entry.path.rpartition("/")[0], []).append(entry)

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, path: str) -> Entry | None:
        """Return the entry of a canonical path; no link is followed."""
        return self._by_path.get(path)

    def children(self, path: str) -> tuple[Entry, ...]:
        """Return the entries of a directory, sorted by the bytes of their paths."""
        return tuple(self._children.get(path, ()))

    def resolve(self, path: str, *, follow: bool = True) -> Entry:
        """Find a file as a process with this root would, from the root directory.

        ``follow`` tells whether a symbolic link in the last place is followed too. Raises FileNotFoundError,
        NotADirectoryError, or OSError with ELOOP or ENAMETOOLONG, as the kernel would.
        """
        if len(path_bytes(path)) > PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        found, _ = self._walk(self._by_path[""], path, MAX_SYMLINKS, follow=follow)
        if isinstance(found, int):
            raise OSError(found, os.strerror(found), path)
        return found

    def _walk(self, where: Entry, path: str, allowed: int, *, follow: bool) -> tuple[Entry | int, int]:
        """Go from a directory along a path; return the file or an errno, and how many links that took."""
        names = path.split("/")
        last = len(names) - 1
        links = 0
        for at, name in enumerate(names):
            if where.type is not FileType.DIRECTORY:
                return errno.ENOTDIR, links
            if name in {"", "."}:
                continue
            if name == "..":
                where = self._by_path[where.path.rpartition("/")[0]]
                continue
            found = self._by_path.get(f"{where.path}/{name}" if where.path else name)
            if found is None:
                return errno.ENOENT, links
            if found.type is FileType.SYMLINK and (at < last or follow):
                target, more = self._follow(found, where, allowed - links)
                links += more
                if isinstance(target, int):
                    return target, links
                found = target
            where = found
        return where, links

    def _follow(self, link: Entry, folder: Entry, allowed: int) -> tuple[Entry | int, int]:
        """Do the same for the target of a link in ``folder``; each is walked once, whoever leads there."""
        known = self._targets.get(link.path)
        if known is None and allowed > self._too_few.get(link.path, 0):
            start = self._by_path[""] if link.link_target.startswith("/") else folder
            target, links = self._walk(start, link.link_target, allowed - 1, follow=True)
            known = target, links + 1
            if target == errno.ELOOP:  # with as many links; from elsewhere there may be more of them left
                self._too_few[link.path] = allowed
            else:
                self._targets[link.path] = known
        return known if known and known[1] <= allowed else (errno.ELOOP, allowed)

    def find(self, path: str, *, follow: bool = True) -> Entry | None:
        """Do the same as :meth:`resolve`, with None for a path that leads nowhere."""
        try:
            return self.resolve(path, follow=follow)
        except OSError:
            return None

    def destination(self, path: str) -> str:
        """Return the canonical path at which an engine would mount something.

        Links are followed; what is not there counts as a directory that is made. Raises OSError with ELOOP.
        """
        pending = path.split("/")[::-1]
        where = ""
        links = 0
        while pending:
            name = pending.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                where = where.rpartition("/")[0]
                continue
            here = f"{where}/{name}" if where else name
            found = self._by_path.get(here)
            if found is None or found.type is not FileType.SYMLINK:
                where = here
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if found.link_target.startswith("/"):
                where = ""
            pending.extend(found.link_target.split("/")[::-1])
        return where

    def hard_links(self) -> dict[str, tuple[str, ...]]:
        """Return the paths of every file that has more than one, by its data path."""
        paths: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.type is not FileType.DIRECTORY:
                paths.setdefault(entry.data_path or entry.path, []).append(entry.path)
        return {data_path: tuple(names) for data_path, names in paths.items() if len(names) > 1}

    @property
    def total_size(self) -> int:
        """Bytes of content of all regular files; hard links count once."""
        return sum(
            entry.size
            for entry in self.entries
            if entry.type is FileType.REGULAR and entry.data_path in {"", entry.path}
        )

    def merkle(self, entry: Entry) -> bytes:
        """Return the Merkle tree of a regular file, top level first; b"" for files of at most one block."""
        return self._merkle_reader(entry)
