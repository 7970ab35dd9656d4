"""``ld.so.cache``: by which glibc's loader finds libraries that no variable and no RUNPATH leads to.

The image's own cache is of no use to Gramine's glibc, which looks for one below its prefix; and images that
no ``ldconfig`` was run in have none. So one is made of the names in the image's folders of libraries.

    magic       17 bytes, "glibc-ld.so.cache", and 3 bytes of version, "1.1"
    nlibs       u32, number of entries
    len_strings u32, bytes of the strings
    flags       u8, 2: little endian; 3 bytes of padding
    extension   u32, 0: none
    unused      3 u32
    entries     i32 flags, u32 name, u32 path (both offsets of strings in the file), u32 unused, u64 hwcap
    strings     each with a NUL

Entries are sorted from the last name to the first one, numbers in names by their value, as the loader's
search by halves wants them. Sources: glibc 2.40, sysdeps/generic/dl-cache.h and elf/dl-cache.c; ldconfig(8).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_LITTLE_ENDIAN = 2
_FLAGS = 0x0303
"""FLAG_ELF_LIBC6 | FLAG_X8664_LIB64."""

_LIBRARY_NAME = re.compile(r"(?:lib|ld-).*\.so(?:\..*)?", re.DOTALL)
_EM_X86_64, _ET_DYN = 62, 3
_DIGITS = re.compile(rb"(\d+)")
_MAX_DIGITS = 255
"""Bytes of a name, NAME_MAX; ``int`` of Python has a limit of its own."""


def libraries(rootfs: Rootfs, folders: Iterable[str]) -> dict[str, str]:
    """Return the path of each library by the names that programs ask for; folders that come first count."""
    found: dict[str, str] = {}
    searched: set[str] = set()
    for folder in folders:
        there = rootfs.find(folder)
        if there is None or there.type is not FileType.DIRECTORY or there.path in searched:
            continue
        searched.add(there.path)
        sonames: dict[str, str] = {}
        for child in rootfs.children(there.path):
            name = child.path.rpartition("/")[2]
            library = rootfs.find(child.path)
            if library is not None and _LIBRARY_NAME.fullmatch(name) and _is_library(library):
                path = f"{folder.rstrip('/')}/{name}"
                found.setdefault(name, path)
                assert library.elf is not None
                sonames.setdefault(library.elf.soname or name, path)
        for soname, path in sonames.items():
            found.setdefault(soname, path)
    return found


def library_cache(paths: Mapping[str, str]) -> bytes:
    """Return the file for libraries' paths by their names."""
    texts = {
        name.encode("utf-8", "surrogateescape"): path.encode("utf-8", "surrogateescape")
        for name, path in paths.items()
    }
    offset = _HEADER.size + len(texts) * _ENTRY.size
    entries, strings = bytearray(), bytearray()
    for name in sorted(texts, key=_order, reverse=True):
        at = offset + len(strings)
        entries += _ENTRY.pack(_FLAGS, at, at + len(name) + 1, 0, 0)
        strings += name + b"\0" + texts[name] + b"\0"
    return _HEADER.pack(_MAGIC, len(texts), len(strings), _LITTLE_ENDIAN, 0) + bytes(entries + strings)


def _is_library(entry: Entry) -> bool:
    elf = entry.elf
    return (
        entry.type is FileType.REGULAR
        and elf is not None
        and (elf.bits, elf.machine, elf.type) == (64, _EM_X86_64, _ET_DYN)
    )


def _order(name: bytes) -> list[tuple[int, int]]:
    """Return a key: a number comes behind any other byte, and the end of a name before all (signed bytes)."""
    key: list[tuple[int, int]] = []
    for index, part in enumerate(_DIGITS.split(name)):
        if index % 2:
            key.append((1, _as_int(part)))
        else:
            key += [(0, byte - 256 if byte > 127 else byte) for byte in part]
    return [*key, (0, 0)]


def _as_int(digits: bytes) -> int:
    """Return what the loader's ``int`` becomes."""
    return (int(digits[-_MAX_DIGITS:]) + (1 << 31)) % (1 << 32) - (1 << 31)
