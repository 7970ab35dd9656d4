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
        pending = path.split("/")[::-1]
        where = self._by_path[""]
        links = 0
        while pending:
            name = pending.pop()
            if where.type is not FileType.DIRECTORY:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            if name in {"", "."}:
                continue
            if name == "..":
                where = self._by_path[where.path.rpartition("/")[0]]
                continue
            found = self._by_path.get(f"{where.path}/{name}" if where.path else name)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            if found.type is not FileType.SYMLINK or not (pending or follow):
                where = found
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if found.link_target.startswith("/"):
                where = self._by_path[""]
            pending.extend(found.link_target.split("/")[::-1])
        return where

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
