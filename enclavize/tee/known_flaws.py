"""Releases of LibOSes with known flaws: the list of this package, and files in its format that extend it.

[[flaw]]
id = "CVE-2024-25371"
libos = "gramine"
since = "1.0"           # the first release that has it; left out: all before ``fixed``
fixed = "1.6"           # the first release without it; left out: there is none yet
title = "..."
source = "..."
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from enclavize import __version__
from enclavize.errors import UsageError
from enclavize.libos_version import version_key
from enclavize.resources import data_dir
from enclavize.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KNOWN_FLAWS = "known-flaws.toml"
"""Name of the list among the profiles."""

LIBOSES = frozenset({"builtin", "gramine", "occlum"})

_MAX_SIZE = 1 << 20
_REQUIRED = ("id", "libos", "title", "source")


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """A flaw of one LibOS. Releases are given as text; an empty ``fixed``: every release has it."""

    id: str
    libos: str
    title: str
    source: str
    since: str = ""
    fixed: str = ""

    def __str__(self) -> str:
        until = f"fixed in {self.fixed}" if self.fixed else "no release is without it"
        return f"{self.id} ({self.title}; {until})"

    def has(self, version: str) -> bool:
        """Whether a release has the flaw; one whose version is no version has every flaw."""
        key = version_key(version)
        return not key or (
            version_key(self.since) <= key and (not self.fixed or key < version_key(self.fixed))
        )


UNKNOWN_RELEASE = Flaw(
    id="unknown-release",
    libos="builtin",
    fixed=__version__,
    title="the LibOS in the enclave is that of no release that is known here, so its flaws are not either",
    source="docs/signing.md",
)


def known_flaws(libos: str, version: str, extra_files: Iterable[Path] = ()) -> tuple[Flaw, ...]:
    """Return the flaws of a release, the package's first. Raises UsageError for a file that is wrong."""
    lists = (_packaged(), *map(read_flaws, extra_files))
    found = {flaw.id: flaw for flaws in lists for flaw in flaws if flaw.libos == libos and flaw.has(version)}
    return tuple(found.values())


@functools.cache
def _packaged() -> tuple[Flaw, ...]:
    return read_flaws(data_dir("libos_profiles") / KNOWN_FLAWS)


def read_flaws(path: Path) -> tuple[Flaw, ...]:
    """Read a list of flaws. Raises UsageError naming the file and what is wrong in it."""
    document = read_toml(path, "list of flaws", _MAX_SIZE)
    tables = document.get("flaw")
    if document.keys() != {"flaw"} or not isinstance(tables, list):
        raise UsageError(f"{path} is no list of flaws", hint="each flaw is a table [[flaw]]")
    return tuple(_flaw(table, f"{path}: flaw {number}") for number, table in enumerate(tables, 1))


def _flaw(table: object, what: str) -> Flaw:
    names = {field.name for field in fields(Flaw)}
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise UsageError(f"{what} is not a table of strings")
    for name in sorted(table.keys() - names):
        raise UsageError(f"{what}: {name!r} is unknown", hint=f"keys: {', '.join(sorted(names))}")
    for name in _REQUIRED:
        if not table.get(name):
            raise UsageError(f"{what} has no {name}")
    flaw = Flaw(**table)
    if flaw.libos not in LIBOSES:
        raise UsageError(f"{what}: {flaw.libos!r} is no LibOS", hint=f"LibOSes: {', '.join(sorted(LIBOSES))}")
    for name, version in (("since", flaw.since), ("fixed", flaw.fixed)):
        if version and not version_key(version):
            raise UsageError(f"{what}: {name} {version!r} is no version")
    return flaw
