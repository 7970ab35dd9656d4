"""Which files of an image a manifest lists.

Gramine's manifest parser takes time that grows with the square of the number of trusted files, in every
process (measured on Gramine 1.9: 10,000 names take 1.9 s, 2,500 take 0.12 s). So what no server opens is left
out of images of distributions. A file that is not listed cannot be opened by the program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.gramine.asked import TMPFS
from enclavize.libos.gramine.attestation import PROVISIONING, RA_TLS
from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.rootfs.tree import Rootfs

KEEP = "keep"
LEAVE_OUT = "leave-out"
ONLY_OPENED = "only-opened"
"""Keys of the table ``[gramine]`` that are no part of a manifest."""

EVERYTHING = "/**"

ALWAYS_LISTED = "/etc/**"
"""Loaders, which run outside of the enclave too, and name services read these: a file that the enclave is not
bound to must not be among them."""

WITHOUT_PROGRAMS = (
    "/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/gtk-doc", "/usr/share/doc-base",
    "/usr/share/lintian", "/usr/share/bug", "/usr/local/share/man", "/usr/local/share/doc",
    "/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/var/cache/debconf", "/var/cache/man",
    "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/var/lib/dnf", "/var/cache/dnf", "/var/cache/yum",
    "/lib/apk/db", "/usr/lib/apk/db", "/var/cache/apk", "/var/lib/pacman", "/var/cache/pacman",
    "/usr/share/zoneinfo/posix", "/usr/share/zoneinfo/right",
)  # fmt: skip
"""Documentation, databases of package managers, second copies of time zones."""

FOR_COMPILERS = (
    "/usr/include", "/usr/local/include", "/usr/lib/**/*.a", "/usr/local/lib/**/*.a", "/lib/**/*.a",
)  # fmt: skip

_DISTRIBUTION_FILES = ("etc/os-release", "usr/lib/os-release")
_COMPILERS = ("gcc", "cc", "clang", "tcc", "c++", "rustc", "go")
_COMPILER_FOLDERS = ("usr/bin", "usr/local/bin", "usr/local/go/bin")

_SECONDS_PER_SQUARE = 1.9e-8
"""Measured: one process, on a processor of 2024."""

LONG_LIST = 2500


@dataclass(frozen=True)
class Patterns:
    """Absolute paths with ``*``, ``?`` and ``[..]`` within a name, and ``**`` for any number of folders.

    A pattern means what it names, and everything below.
    """

    texts: tuple[str, ...]

    def match(self, path: str) -> bool:
        """Tell whether one of them means an absolute path."""
        return self._compiled.match(path) is not None

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        choices = "|".join(map(_translated, self.texts))
        return re.compile(f"(?:{choices})(?:/|$)" if choices else "(?!)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is left out, unless it is kept; ``only`` are files without links beside which all are left out."""

    left_out: Patterns = Patterns(())
    kept: Patterns = Patterns(())
    only: frozenset[str] | None = None

    def leaves_out(self, path: str, real: str) -> bool:
        """Tell whether a file is not to be listed by an absolute path; ``real`` is that without links.

        Who watches from outside sees files without links: what was opened has all its names.
        """
        if _ALWAYS_LISTED.match(path) or self.kept.match(path):
            return False
        return self.left_out.match(path) or (self.only is not None and real not in self.only)

    @property
    def patterns(self) -> tuple[str, ...]:
        """What ``enclave.json`` says."""
        return self.left_out.texts if self.only is None else (EVERYTHING,)


_ALWAYS_LISTED = Patterns((ALWAYS_LISTED,))


def must_be_listed(path: str) -> bool:
    """Tell whether an image must not have an unlisted file there, whatever was left out of it."""
    return _ALWAYS_LISTED.match(path)


def manifest_part(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the table ``[gramine]`` is merged into the manifest."""
    own = (KEEP, LEAVE_OUT, ONLY_OPENED, TMPFS, RA_TLS, PROVISIONING)
    return {key: value for key, value in table.items() if key not in own}


def selection_of(rootfs: Rootfs, table: Mapping[str, Any], stated: Iterable[str] = ()) -> Selection:
    """Return what an image and the table ``[gramine]`` say. Raises UsageError.

    ``stated`` are paths that are kept, whatever is in their names.
    """
    kept, more = (_patterns(table, key) for key in (KEEP, LEAVE_OUT))
    kept += tuple(re.sub(r"([*?[])", r"[\1]", path) for path in stated)
    _texts(table, TMPFS)
    usual: tuple[str, ...] = WITHOUT_PROGRAMS if _is_distribution(rootfs) else ()
    if usual and not _has_compiler(rootfs):
        usual += FOR_COMPILERS
    opened = table.get(ONLY_OPENED)
    there = [text for text in usual if opened is None and _is_there(rootfs, text)]
    return Selection(
        left_out=Patterns(tuple(dict.fromkeys((*there, *more)))),
        kept=Patterns(kept),
        only=None if opened is None else frozenset(_files(rootfs, _texts(table, ONLY_OPENED))),
    )


def start_time(count: int) -> float:
    """Return how many seconds Gramine takes to parse a list of so many files, in each process."""
    return _SECONDS_PER_SQUARE * count**2


def _is_distribution(rootfs: Rootfs) -> bool:
    return any(rootfs.find(path) is not None for path in _DISTRIBUTION_FILES)


def _has_compiler(rootfs: Rootfs) -> bool:
    return any(
        rootfs.find(f"{folder}/{name}") is not None for folder in _COMPILER_FOLDERS for name in _COMPILERS
    )


def _is_there(rootfs: Rootfs, pattern: str) -> bool:
    return "*" in pattern or rootfs.get(pattern[1:]) is not None


def _files(rootfs: Rootfs, paths: Iterable[str]) -> Iterable[str]:
    """Yield the files, without links, that a program opened by some of these paths."""
    for path in paths:
        entry = rootfs.find(path)
        if entry is not None and entry.type is FileType.REGULAR:
            yield f"/{entry.path}"  # others are of another run: a temporary file, a folder, nothing at all


def _patterns(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    texts = _texts(table, key)
    for text in texts:
        try:
            re.compile(_translated(text))
        except re.error as error:
            raise UsageError(f"[gramine] {key}: {text!r} is no pattern") from error
    return texts


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    texts = table.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"[gramine] {key} is not a list of texts")
    for text in texts:
        if not text.startswith("/"):
            raise UsageError(f"[gramine] {key}: {text!r} is not absolute", hint="begin it with /, or /**/")
    return tuple(text.rstrip("/") or EVERYTHING for text in texts)


_SPECIAL = re.compile(r"/\*\*(?=/|$)|\*+|\?|\[!?[^\]/]+\]", re.ASCII)


def _translated(pattern: str) -> str:
    """Return a regular expression that matches at the start of a path."""
    parts, end = [], 0
    for found in _SPECIAL.finditer(pattern):
        parts.append(re.escape(pattern[end : found.start()]))
        end = found.end()
        match found[0][0]:
            case "/":
                parts.append("(?:/[^/]+)*" if end < len(pattern) else "(?:/[^/]+)+")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _:
                inside = found[0][1:-1]
                negated = inside.startswith("!")
                parts.append(f"[{'^/' if negated else ''}{_class(inside[negated:])}]")
    return "".join((*parts, re.escape(pattern[end:])))


def _class(text: str) -> str:
    return text.replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
