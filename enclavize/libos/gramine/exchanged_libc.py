"""Gramine's C library in the place of the image's: under all its names, with the image's data.

Programs find it without LD_LIBRARY_PATH, which they may change or drop, because it is mounted over the
image's own files. A glibc has paths of its data compiled in, below the prefix of the Gramine that it was
built with: the image's locales, character sets and time zones are mounted there. Source: glibc 2.40,
Makeconfig (``zonedir``, ``localtime-file``, ``complocaledir``, ``localedir``, ``gconvdir``, ``sysconfdir``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

from enclavize.compat.library_path import default_folders
from enclavize.errors import UsageError
from enclavize.libos.gramine.layout import LIBRARY_CACHE, absolute, uri
from enclavize.libos.gramine.library_cache import libraries, library_cache
from enclavize.libos.gramine.manifest import Mount
from enclavize.libos.gramine.program import INTERPRETERS
from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from enclavize.libos.gramine.program import Libc
    from enclavize.rootfs.tree import Rootfs

_IMAGES_CACHE = "/etc/ld.so.cache"

_DATA = {
    "locales": ("/usr/lib/locale",),
    "messages": ("/usr/share/locale",),
    "character_sets": ("/usr/lib/x86_64-linux-gnu/gconv", "/usr/lib64/gconv", "/usr/lib/gconv"),
    "zones": ("/usr/share/zoneinfo",),
    "local_time": ("/etc/localtime",),
}
"""Where distributions have the data; the first that is there counts."""


@dataclass(frozen=True, kw_only=True)
class CompiledPaths:
    """Absolute paths in a glibc; "" where it names none."""

    library_cache: str
    locales: str = ""
    messages: str = ""
    character_sets: str = ""
    zones: str = ""
    local_time: str = ""


_IN_LIBC = {
    "locales": re.compile(rb"\0(/[^\0]{1,4095})/locale-archive\0"),
    "messages": re.compile(rb"\0(/[^\0]{1,4095}/share/locale)\0"),
    "character_sets": re.compile(rb"\0(/[^\0]{1,4095})/gconv-modules\.cache\0"),
    "zones": re.compile(rb"\0(/[^\0]{1,4095}/zoneinfo)\0"),
    "local_time": re.compile(rb"\0(/[^\0]{1,4095}/localtime)\0"),
}
_IN_LOADER = re.compile(rb"\0(/[^\0]{1,4095}/ld\.so\.cache)\0")


def compiled_paths(loader: bytes, libc: bytes) -> CompiledPaths:
    """Find the paths in ``ld-linux-x86-64.so.2`` and ``libc.so.6``. Raises UsageError for other files."""
    cache = _IN_LOADER.search(loader)
    if cache is None:
        raise UsageError(
            "the toolchain's ld-linux-x86-64.so.2 names no ld.so.cache: it is not glibc's loader",
            hint="give --toolchain a Gramine 1.9 as it was installed",
        )
    found = {name: pattern.search(libc) for name, pattern in _IN_LIBC.items()}
    return CompiledPaths(
        library_cache=_text(cache), **{name: _text(match) for name, match in found.items() if match}
    )


@dataclass(frozen=True, kw_only=True)
class ExchangedLibc:
    """What the manifest and the instance need for it. ``cache`` is the content of ``ld.so.cache``."""

    mounts: tuple[Mount, ...] = ()
    cache: bytes = b""


def exchanged_libc(
    rootfs: Rootfs, libc: Libc, runtime: Mapping[str, str], paths: CompiledPaths | None, taken: Iterable[str]
) -> ExchangedLibc:
    """Put the files of ``runtime``, absolute paths by name, in the place of the image's.

    ``paths`` are those of a glibc. Nothing is mounted where the user's mounts are, which are ``taken``.
    """
    folders = default_folders(rootfs, libc)
    own = dict(_own_names(rootfs, folders, runtime))
    # Gramine looks for the last part of PT_INTERP in /lib and /lib64, unless LD_LIBRARY_PATH is set.
    own[INTERPRETERS[libc]] = runtime[INTERPRETERS[libc].rpartition("/")[2]]
    cache = b""
    if paths is not None:
        known = libraries(rootfs, folders)
        cache = library_cache(
            {**known, **{name: path for name, path in runtime.items() if name not in known}}
        )
        own |= dict(_data(rootfs, paths))
    free = own.keys() - set(taken)
    return ExchangedLibc(
        mounts=tuple(
            Mount(type="chroot", path=path, uri=uri(place)) for path, place in own.items() if path in free
        ),
        cache=cache,
    )


def _own_names(rootfs: Rootfs, folders: Iterable[str], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the paths by which the image's programs know files of these names."""
    for folder in folders:
        for name, place in names.items():
            path = f"{folder.rstrip('/')}/{name}"
            if rootfs.find(path) is not None:
                yield path, place


def _data(rootfs: Rootfs, paths: CompiledPaths) -> Iterator[tuple[str, str]]:
    """Yield compiled paths, and what to mount there; nothing hides a file that the image has."""
    if paths.library_cache != _IMAGES_CACHE or rootfs.find(_IMAGES_CACHE) is None:
        yield paths.library_cache, absolute(LIBRARY_CACHE)
    for field in fields(paths):
        path: str = getattr(paths, field.name)
        places = [place for place in map(partial(_listed, rootfs), _DATA.get(field.name, ())) if place]
        if path and places and rootfs.find(path) is None:
            yield path, places[0]


def _listed(rootfs: Rootfs, path: str) -> str:
    """Return by which path trusted files name what is at ``path``; "" if nothing is there."""
    entry = rootfs.find(path)
    if entry is None:
        return ""
    return f"/{entry.path}" if entry.type is FileType.DIRECTORY else path


def _text(match: re.Match[bytes]) -> str:
    return match[1].decode("utf-8", "surrogateescape")
