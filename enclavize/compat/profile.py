"""Profiles: what one version of one LibOS can run, as data (``libos_profiles/NAME.toml``)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.resources import data_dir

if TYPE_CHECKING:
    from pathlib import Path

MAX_PROFILE_SIZE = 1 << 20
"""Bytes."""

_MAX_SCRIPT_DEPTH = 5


class Support(StrEnum):
    """How a LibOS stands to a kind of program."""

    YES = "yes"
    UNTESTED = "untested"
    NO = "no"


@dataclass(frozen=True, kw_only=True)
class ElfSupport:
    """Kinds of executables; ``script_depth`` counts the interpreters of scripts that are followed."""

    fixed_address: Support
    static: Support
    static_pie: Support
    script_depth: int


@dataclass(frozen=True, kw_only=True)
class LibcSupport:
    """Whose loaders there are."""

    musl: Support
    glibc: Support
    other: Support

    def of(self, family: str) -> Support:
        """Return the support for a family of C libraries: musl, glibc or other."""
        match family:
            case "musl":
                return self.musl
            case "glibc":
                return self.glibc
            case _:
                return self.other


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One LibOS in one version. ``title`` is how messages call it, ``source`` where the facts come from."""

    libos: str
    version: str
    title: str
    source: str
    elf: ElfSupport
    libc: LibcSupport


def builtin_profiles() -> tuple[Profile, ...]:
    """Return the profiles that come with this package."""
    return tuple(load_profile(path) for path in sorted(data_dir("libos_profiles").glob("*.toml")))


def profile_for(libos: str) -> Profile:
    """Return the profile of a LibOS, the newest if there are more. Raises UsageError."""
    profiles = [profile for profile in builtin_profiles() if profile.libos == libos]
    if not profiles:
        raise UsageError(
            f"there is no profile for the LibOS {libos} in this version",
            hint=f"known: {', '.join(sorted({profile.libos for profile in builtin_profiles()}))}",
        )
    return max(profiles, key=lambda profile: [int(part) for part in re.findall(r"\d+", profile.version)])


def load_profile(path: Path) -> Profile:
    """Read a profile and check it. Raises UsageError naming the file, the line and the key."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PROFILE_SIZE + 1)
        if len(data) > MAX_PROFILE_SIZE:
            raise UsageError(f"{path}: a profile has at most {MAX_PROFILE_SIZE} bytes")
        text = data.decode()
        document = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read the profile {path}: {error.strerror}") from error
    except ValueError as error:  # also what tomllib and the decoder raise
        raise UsageError(f"{path}: {error}") from error
    reader = _Reader(path, text, document)
    reader.only("", "profile elf libc")
    reader.only("profile", "libos version title source")
    reader.only("elf", "fixed_address static static_pie script_depth")
    reader.only("libc", "musl glibc other")
    return Profile(
        libos=reader.text("profile", "libos"),
        version=reader.text("profile", "version"),
        title=reader.text("profile", "title"),
        source=reader.text("profile", "source"),
        elf=ElfSupport(
            fixed_address=reader.support("elf", "fixed_address"),
            static=reader.support("elf", "static"),
            static_pie=reader.support("elf", "static_pie"),
            script_depth=reader.number("elf", "script_depth", _MAX_SCRIPT_DEPTH),
        ),
        libc=LibcSupport(
            musl=reader.support("libc", "musl"),
            glibc=reader.support("libc", "glibc"),
            other=reader.support("libc", "other"),
        ),
    )


class _Reader:
    """Typed access to the document; errors name the place in the file."""

    def __init__(self, path: Path, text: str, document: dict[str, Any]) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._document = document

    def only(self, table: str, keys: str) -> None:
        content = self._table(table) if table else self._document
        for key in content:
            if key not in keys.split():
                raise self._wrong(table, key, "is unknown")

    def text(self, table: str, key: str) -> str:
        value = self._value(table, key)
        if not isinstance(value, str) or not value:
            raise self._wrong(table, key, "is not text")
        return value

    def number(self, table: str, key: str, maximum: int) -> int:
        value = self._value(table, key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise self._wrong(table, key, f"is not a number from 0 to {maximum}")
        return value

    def support(self, table: str, key: str) -> Support:
        value = self._value(table, key)
        if not isinstance(value, str) or value not in list(Support):
            raise self._wrong(table, key, f"is none of {', '.join(Support)}")
        return Support(value)

    def _table(self, table: str) -> dict[str, Any]:
        value = self._document.get(table)
        if not isinstance(value, dict):
            raise self._wrong("", table, "is missing or not a table")
        return value

    def _value(self, table: str, key: str) -> object:
        content = self._table(table)
        if key not in content:
            raise self._wrong(table, key, "is missing")
        return content[key]

    def _wrong(self, table: str, key: str, problem: str) -> UsageError:
        name = f"{table}.{key}" if table else key
        return UsageError(f"{self._path}, line {self._line(table, key)}: {name} {problem}")

    def _line(self, table: str, key: str) -> int:
        """Return the line of the key, or else of its table, or 1."""
        inside, found = not table, 1
        for number, line in enumerate(self._lines, 1):
            if match := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
                inside = match[1] == table
                if inside or (not table and match[1] == key):
                    found = number
            elif inside and re.match(rf"\s*{re.escape(key)}\s*=", line):
                return number
        return found
