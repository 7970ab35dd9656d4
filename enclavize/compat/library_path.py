"""Where the loaders of musl and glibc look for libraries.

Sources: ld.so(8), ldconfig(8); ldso/dynlink.c of musl.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

MAX_FOLDERS = 256
"""Folders of one search: honest images have some ten."""
_MAX_LOOKED_UP = 4096
"""Folders of one list, most of which an image may not have."""

_MUSL_PATH_FILE = "etc/ld-musl-x86_64.path"
_MUSL_PATH = ("/lib", "/usr/local/lib", "/usr/lib")
_GLIBC_PATH = (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
)  # fmt: skip
"""Defaults of Debian's, of Fedora's and of the plain glibc."""
_GLIBC_PATH_FILE = "etc/ld.so.conf"
_MAX_INCLUDES = 64
"""Files that ld.so.conf includes."""
_MAX_PATTERNS = 64
"""Patterns of files in it; each is compared with all names of a folder."""


def libc_family(interpreter: str) -> str:
    """Tell whose loader a PT_INTERP names: musl, glibc or other."""
    name = posixpath.basename(interpreter)
    if name.startswith("ld-musl-"):
        return "musl"
    return "glibc" if name.startswith(("ld-linux", "ld64.so", "ld.so")) else "other"


class LibraryPath:
    """The search of one program's loader, in folders that the image has; each is looked up once."""

    def __init__(self, rootfs: Rootfs, family: str, environment: Mapping[str, str]) -> None:
        self._rootfs = rootfs
        self._family = family
        self._there: dict[str, str | None] = {}
        self._preset = tuple(self._existing(environment.get("LD_LIBRARY_PATH", "").split(":")))
        self._defaults = tuple(self._existing(default_folders(rootfs, family)))
        self._handed_on: dict[str, tuple[str, ...]] = {}
        self._searched: dict[str, tuple[str, ...]] = {}

    def add(self, user: Entry, loader: Entry | None) -> None:
        """Take note of a file before what it needs is looked for; ``loader`` is the one that needs it."""
        runpath, rpath = (user.elf.runpath, user.elf.rpath) if user.elf else ("", "")
        own = tuple(self._existing(_folders(runpath or rpath, user)))
        above = self._handed_on[loader.path] if loader else ()
        # Libraries inherit both in musl, in glibc RPATH alone, and only where no RUNPATH is.
        inherits = self._family == "musl" or not runpath
        handed_on = _distinct((*own, *above) if inherits else above)
        self._handed_on[user.path] = handed_on
        if self._family == "musl":
            order = (*self._preset, *handed_on, *self._defaults)
        elif runpath:
            order = (*self._preset, *own, *self._defaults)
        else:
            order = (*handed_on, *self._preset, *self._defaults)
        self._searched[user.path] = _distinct(order)

    def find(self, name: str, user: Entry) -> Entry | None:
        """Find the library ``name`` that ``user`` needs."""
        if "/" in name:
            return self._usable(self._rootfs.find(name), user)
        for folder in self._searched[user.path]:
            path = f"{folder}/{name}" if folder else name
            if self._rootfs.get(path) and (found := self._usable(self._rootfs.find(path), user)):
                return found
        return None

    def is_bundled(self, library: Entry, user: Entry) -> bool:
        """Tell whether a run path led from ``user`` to the library, before LD_LIBRARY_PATH in glibc."""
        precedes = self._family == "musl" or not (user.elf and user.elf.runpath)
        return precedes and library.path.rpartition("/")[0] in self._handed_on[user.path]

    def _existing(self, folders: Iterable[str]) -> Iterator[str]:
        for folder in islice(dict.fromkeys(folders), _MAX_LOOKED_UP):
            if folder and folder not in self._there:
                entry = self._rootfs.find(folder)
                is_folder = entry is not None and entry.type is FileType.DIRECTORY
                self._there[folder] = entry.path if entry and is_folder else None
            path = self._there.get(folder)
            if path is not None:
                yield path

    def _usable(self, entry: Entry | None, user: Entry) -> Entry | None:
        """Pass over what is no file, and libraries for other machines."""
        if entry is None or entry.type is not FileType.REGULAR:
            return None
        return entry if entry.elf is None or user.elf is None or entry.elf.bits == user.elf.bits else None


def _distinct(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(folders), MAX_FOLDERS))


def _folders(run_path: str, user: Entry) -> Iterator[str]:
    origin = posixpath.dirname(f"/{user.path}")
    for folder in run_path.split(":"):
        yield folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)


def default_folders(rootfs: Rootfs, family: str) -> tuple[str, ...]:
    """Return where a loader looks last, by the image's configuration; some may not be there."""
    return _musl_defaults(rootfs) if family == "musl" else _glibc_defaults(rootfs)


def _musl_defaults(rootfs: Rootfs) -> tuple[str, ...]:
    content = _content(rootfs, _MUSL_PATH_FILE)
    return _MUSL_PATH if content is None else tuple(content.replace(":", "\n").split())


def _glibc_defaults(rootfs: Rootfs) -> tuple[str, ...]:
    """Return the folders of ld.so.conf, of which ld.so.cache is made, before the built-in ones."""
    return tuple(dict.fromkeys((*_configured(rootfs, _GLIBC_PATH_FILE, _Includes()), *_GLIBC_PATH)))


@dataclass
class _Includes:
    """What is left to be included."""

    files: int = _MAX_INCLUDES
    patterns: int = _MAX_PATTERNS


def _configured(rootfs: Rootfs, path: str, left: _Includes) -> Iterator[str]:
    left.files -= 1
    if left.files < 0:
        return
    for line in (_content(rootfs, path) or "").splitlines():
        words = line.partition("#")[0].split()
        match words:
            case ["include", *patterns]:
                for pattern in patterns:
                    left.patterns -= 1
                    if left.patterns < 0:
                        return
                    for found in _matching(rootfs, posixpath.join("/etc", pattern)):
                        yield from _configured(rootfs, found, left)
            case [folder, *_] if folder.startswith("/"):
                yield folder


def _matching(rootfs: Rootfs, pattern: str) -> list[str]:
    """Return the files that a pattern matches; wildcards work in the last place only."""
    folder, _, name = pattern.rpartition("/")
    entry = rootfs.find(folder)
    if entry is None:
        return []
    names = (child.path for child in rootfs.children(entry.path))
    return [path for path in names if fnmatchcase(posixpath.basename(path), name)]


def _content(rootfs: Rootfs, path: str) -> str | None:
    entry = rootfs.find(path)
    content = rootfs.content(entry) if entry is not None else None
    return None if content is None else content.decode("utf-8", "surrogateescape")
