"""The merged tree of an image, and path resolution inside it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import PATH_MAX, Entry, FileType
from enclavize.rootfs.listed_tree import ListedTree
from enclavize.rootfs.names import path_bytes
from enclavize.rootfs.native_merge import MergedTree
from enclavize.rootfs.well_known import well_known_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    ContentReader = Callable[[Sequence[Entry]], Mapping[bytes, bytes]]

MAX_SYMLINKS = 40
"""Symbolic links followed in one resolution (MAXSYMLINKS in Linux)."""


MAX_CONTENT_SIZE = 1 << 20
"""Bytes of a file that is read as a whole."""

_TOO_MANY = MAX_SYMLINKS + 1
"""As good as any larger number of links, and as a circle of them."""


class _Walk:
    """A path on its way from a directory. ``link`` is the link whose target it is, "" if it is none."""

    __slots__ = ("at", "follow", "link", "links", "names", "where")

    def __init__(self, where: Entry, path: str, *, link: str = "", follow: bool = True) -> None:
        self.where = where
        self.names = path.split("/")
        self.at = 0
        self.link = link
        self.links = 0
        self.follow = follow


class Rootfs:
    """The files of an image after all layers are applied.

    ``entries`` holds every path once, sorted by bytes, the root first; every parent is there.
    ``merkle_reader`` finds the Merkle tree of a file; ``content_reader`` reads small files that the index has
    not kept, by their SHA-256.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        *,
        merkle_reader: Callable[[Entry], bytes],
        content_reader: ContentReader = lambda _entries: {},
    ) -> None:
        self.entries = entries if isinstance(entries, (MergedTree, ListedTree)) else ListedTree(entries)
        self._merkle_reader = merkle_reader
        self._content_reader = content_reader
        self._contents: dict[bytes, bytes] | None = None
        """What was read besides the index, None as long as nobody has asked."""
        self._targets: dict[str, tuple[Entry | int, int]] = {}
        """Where links lead, by their paths: a file or an errno, and how many links there are on the way."""

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, path: str) -> Entry | None:
        """Return the entry of a canonical path; no link is followed."""
        return self.entries.get(path)

    def children(self, path: str) -> tuple[Entry, ...]:
        """Return the entries of a directory, sorted by the bytes of their paths."""
        return tuple(self.entries.children(path))

    def _there(self, path: str) -> Entry:
        entry = self.entries.get(path)
        assert entry is not None
        return entry

    def resolve(self, path: str, *, follow: bool = True) -> Entry:
        """Find a file as a process with this root would, from the root directory.

        ``follow`` tells whether a symbolic link in the last place is followed too. Raises FileNotFoundError,
        NotADirectoryError, or OSError with ELOOP or ENAMETOOLONG, as the kernel would.
        """
        if len(path_bytes(path)) > PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        there = self.entries.get(path.removeprefix("/"))  # then all above it are directories
        if there is not None and (there.type is not FileType.SYMLINK or not follow):
            return there
        walk = _Walk(self._there(""), path, follow=follow)
        found = self._end_of(walk)
        if walk.links > MAX_SYMLINKS:
            found = errno.ELOOP
        if isinstance(found, int):
            raise OSError(found, os.strerror(found), path)
        return found

    def _end_of(self, walk: _Walk) -> Entry | int:
        """Return where a walk ends, or an errno. Each link is followed once, whoever leads there."""
        pending = [walk]
        followed: set[str] = set()
        while True:
            walk = pending[-1]
            link = self._next_link(walk)
            if isinstance(link, Entry) and link.path not in followed:
                followed.add(link.path)
                start = self._there("") if link.link_target.startswith("/") else walk.where
                pending.append(_Walk(start, link.link_target, link=link.path))
                continue
            end = walk.where if link is None else errno.ELOOP if isinstance(link, Entry) else link
            pending.pop()
            if not pending:
                return end
            self._targets[walk.link] = end, min(walk.links + 1, _TOO_MANY)

    def _next_link(self, walk: _Walk) -> Entry | int | None:
        """Go on to the first link that was not followed yet, or to the end: return None or an errno."""
        names, last = walk.names, len(walk.names) - 1
        where = walk.where
        while walk.at <= last:
            if where.type is not FileType.DIRECTORY:
                return errno.ENOTDIR
            name = names[walk.at]
            if name == "..":
                where = self._there(where.path.rpartition("/")[0])
            elif name not in {"", "."}:
                found = self.entries.get(f"{where.path}/{name}" if where.path else name)
                if found is None:
                    return errno.ENOENT
                if found.type is FileType.SYMLINK and (walk.at < last or walk.follow):
                    known = self._targets.get(found.path)
                    if known is None:
                        walk.where = where
                        return found
                    end, links = known
                    walk.links = min(walk.links + links, _TOO_MANY)
                    if isinstance(end, int):
                        return end
                    found = end
                where = found
            walk.at += 1
        walk.where = where
        return None

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
        return self.way(path)[1]

    def way(self, path: str) -> tuple[list[Entry], str]:
        """Return the directories and links on the way to a :meth:`destination`, and that place."""
        passed: list[Entry] = []
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
            found = self.entries.get(here)
            if found is not None and found.type in {FileType.DIRECTORY, FileType.SYMLINK}:
                passed.append(found)
            if found is None or found.type is not FileType.SYMLINK:
                where = here
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if found.link_target.startswith("/"):
                where = ""
            pending.extend(found.link_target.split("/")[::-1])
        return passed, where

    def changed(self, *, made: Iterable[Entry] = (), left_out: Collection[str] = ()) -> Rootfs:
        """Return a tree with entries more, in directories that are there, and entries less."""
        entries = self.entries.changed(made, left_out)
        if entries is None:
            entries = ListedTree(self.entries).changed(made, left_out)
        return Rootfs(entries, merkle_reader=self._merkle_reader, content_reader=self._content_reader)

    def content(self, entry: Entry) -> bytes | None:
        """Return the content of a regular file of at most 1 MiB, None for others.

        Raises what reading a layer raises. Layers are read for as few files as possible, and for all
        well-known ones at once.
        """
        if entry.type is not FileType.REGULAR or entry.content is not None:
            return entry.content
        if self._contents is None or entry.sha256 not in self._contents:
            self.read_together([entry])
        return (self._contents or {}).get(entry.sha256)

    def read_together(self, entries: Iterable[Entry]) -> None:
        """Read the contents that ``content`` is to return: a layer is read once for all of them."""
        if self._contents is None:
            self._contents = self._read(*entries, *well_known_files(self))
        else:
            read = self._contents
            self._contents |= self._read(*(entry for entry in entries if entry.sha256 not in read))

    def _read(self, *entries: Entry) -> dict[bytes, bytes]:
        wanted = [
            entry
            for entry in entries
            if entry.type is FileType.REGULAR and entry.content is None and entry.size <= MAX_CONTENT_SIZE
        ]
        return dict(self._content_reader(wanted)) if wanted else {}

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
