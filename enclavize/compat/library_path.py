"""Where the loaders of musl and glibc look for libraries.

Sources: ld.so(8), ldconfig(8); ldso/dynlink.c of musl.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_MUSL_PATH_FILE = "etc/ld-musl-x86_64.path"
_MUSL_PATH = ("/lib", "/usr/local/lib", "/usr/lib")
_GLIBC_PATH = (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
)  # fmt: skip
"""Defaults of Debian's, of Fedora's and of the plain glibc."""
_GLIBC_PATH_FILE = "etc/ld.so.conf"
_MAX_INCLUDES = 64


def libc_family(interpreter: str) -> str:
    """Tell whose loader a PT_INTERP names: musl, glibc or other."""
    name = posixpath.basename(interpreter)
    if name.startswith("ld-musl-"):
        return "musl"
    return "glibc" if name.startswith(("ld-linux", "ld64.so", "ld.so")) else "other"


@dataclass(frozen=True, kw_only=True)
class LibraryPath:
    """The search of one program. ``preset`` is LD_LIBRARY_PATH, ``defaults`` what the image configures."""

    family: str
    preset: tuple[str, ...]
    defaults: tuple[str, ...]

    @staticmethod
    def of(rootfs: Rootfs, family: str, environment: Mapping[str, str]) -> LibraryPath:
        """Read the image's configuration of the loader."""
        preset = tuple(folder for folder in environment.get("LD_LIBRARY_PATH", "").split(":") if folder)
        defaults = _musl_defaults(rootfs) if family == "musl" else _glibc_defaults(rootfs)
        return LibraryPath(family=family, preset=preset, defaults=defaults)

    def find(self, rootfs: Rootfs, name: str, chain: Sequence[Entry]) -> Entry | None:
        """Find the library ``name`` of ``chain[0]``, which ``chain[1]`` needs, and so on."""
        candidates = (
            [name] if "/" in name else [posixpath.join(folder, name) for folder in self._folders(chain)]
        )
        bits = chain[0].elf.bits if chain[0].elf else 0
        for path in candidates:
            entry = rootfs.find(path)
            # Libraries for other machines are passed over.
            if entry and entry.type is FileType.REGULAR and (entry.elf is None or entry.elf.bits == bits):
                return entry
        return None

    def _folders(self, chain: Sequence[Entry]) -> Iterator[str]:
        if self.family == "musl":
            yield from self.preset
            for user in chain:
                yield from _run_path(user, inherited=True)
        else:
            if not (chain[0].elf and chain[0].elf.runpath):
                for user in chain:
                    yield from _run_path(user, inherited=True, only_rpath=True)
            yield from self.preset
            yield from _run_path(chain[0], inherited=False)
        yield from self.defaults


def _run_path(user: Entry, *, inherited: bool, only_rpath: bool = False) -> Iterator[str]:
    """Yield the folders of RUNPATH or RPATH. glibc inherits RPATH alone, and only where no RUNPATH is."""
    if user.elf is None:
        return
    text = user.elf.runpath or (user.elf.rpath if inherited else "")
    if only_rpath and user.elf.runpath:
        return
    origin = posixpath.dirname(f"/{user.path}")
    for folder in text.split(":"):
        if folder:
            yield folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)


def _musl_defaults(rootfs: Rootfs) -> tuple[str, ...]:
    content = _content(rootfs, _MUSL_PATH_FILE)
    return _MUSL_PATH if content is None else tuple(content.replace(":", "\n").split())


def _glibc_defaults(rootfs: Rootfs) -> tuple[str, ...]:
    """Return the folders of ld.so.conf, of which ld.so.cache is made, before the built-in ones."""
    return tuple(dict.fromkeys((*_configured(rootfs, _GLIBC_PATH_FILE, [_MAX_INCLUDES]), *_GLIBC_PATH)))


def _configured(rootfs: Rootfs, path: str, left: list[int]) -> Iterator[str]:
    left[0] -= 1
    if left[0] < 0:
        return
    for line in (_content(rootfs, path) or "").splitlines():
        words = line.partition("#")[0].split()
        match words:
            case ["include", *patterns]:
                for pattern in patterns:
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
    if entry is None or entry.content is None:
        return None
    return entry.content.decode("utf-8", "surrogateescape")
