"""Profiles: what one version of one LibOS can run, as data (``libos_profiles/NAME.toml``)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from enclavize.compat.syscalls import NUMBERS
from enclavize.errors import UsageError
from enclavize.resources import data_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MAX_PROFILE_SIZE = 1 << 20
"""Bytes."""

_MAX_SCRIPT_DEPTH = 5
_MAX_TABLE_SIZE = 1024
_MAX_SIZE = 1 << 40
_MAX_THREADS = 1 << 16
_RUNTIMES = "go jvm cpython node dotnet rust"
_TABLES = {
    "profile": "libos version title",
    "elf": "fixed_address static static_pie script_depth script_arguments",
    "libc": "musl glibc other own musl_version glibc_version",
    "process": "fork vfork spawn exec",
    "instructions": "syscall int80 rdtscp",
    "syscalls": "implemented partial refused absent_errno table_size beyond_errno",
    "sizes": "memory minimum_memory kernel_heap threads",
    "runtimes": _RUNTIMES,
}
"""Tables and their keys, all of which must be there; every table but the first names its ``source``."""


class Support(StrEnum):
    """How a LibOS stands to something. ``PARTIAL``: it works in some cases, or slowly."""

    YES = "yes"
    PARTIAL = "partial"
    UNTESTED = "untested"
    NO = "no"


@dataclass(frozen=True, kw_only=True)
class ElfSupport:
    """Kinds of executables; ``script_depth`` counts the interpreters of scripts that are followed."""

    fixed_address: Support
    static: Support
    static_pie: Support
    script_depth: int
    script_arguments: Support
    """Whether ``#!/bin/sh -e`` is split into an interpreter and its argument."""


@dataclass(frozen=True, kw_only=True)
class LibcSupport:
    """Whose loaders there are, and whose C library runs.

    ``own`` tells whether the LibOS puts its C library in the place of the image's; ``musl_version`` and
    ``glibc_version`` are its versions then, (0, 0) otherwise.
    """

    musl: Support
    glibc: Support
    other: Support
    own: bool
    musl_version: tuple[int, ...]
    glibc_version: tuple[int, ...]

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
class ProcessSupport:
    """How new processes come to be. ``spawn`` is posix_spawn, on which libraries build system and popen."""

    fork: Support
    vfork: Support
    spawn: Support
    exec: Support


@dataclass(frozen=True, kw_only=True)
class InstructionSupport:
    """Instructions that an enclave cannot execute itself: what becomes of them outside the C library."""

    syscall: Support
    int80: Support
    rdtscp: Support


@dataclass(frozen=True, kw_only=True)
class SyscallSupport:
    """The system call table. What is in none of the sets is absent."""

    implemented: frozenset[str]
    partial: frozenset[str]
    refused: frozenset[str]
    """In the table, but every call of it fails."""
    absent_errno: str
    table_size: int
    """Numbers from here on give ``beyond_errno``."""
    beyond_errno: str

    def serves(self, name: str) -> bool:
        """Tell whether a call can succeed."""
        return name in self.implemented or name in self.partial

    def errno_of(self, name: str) -> str:
        """Return the name of the error that an absent call gives."""
        return self.beyond_errno if NUMBERS[name] >= self.table_size else self.absent_errno


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bytes of memory and of the LibOS's own heap (0: it is part of the memory), and threads, by default."""

    memory: int
    minimum_memory: int
    kernel_heap: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One LibOS in one version. ``title`` is how messages call it, ``sources`` where its facts come from."""

    libos: str
    version: str
    title: str
    elf: ElfSupport
    libc: LibcSupport
    process: ProcessSupport
    instructions: InstructionSupport
    syscalls: SyscallSupport
    sizes: Sizes
    runtimes: Mapping[str, str]
    """Advice by language runtime: go, jvm, cpython, node, dotnet, rust."""
    sources: Mapping[str, str]
    """Where the facts come from, by table."""


def builtin_profiles() -> tuple[Profile, ...]:
    """Return the profiles that come with this package, by LibOS and then by version."""
    profiles = [load_profile(path) for path in data_dir("libos_profiles").glob("*.toml")]
    return tuple(sorted(profiles, key=lambda profile: (profile.libos, version_key(profile.version))))


def profile_for(libos: str, extra: Iterable[Profile] = ()) -> Profile:
    """Return the profile that ``NAME`` or ``NAME@VERSION`` means; the newest for a name alone.

    Profiles in ``extra`` come before those of the package. Raises UsageError.
    """
    name, _, version = libos.partition("@")
    extra = tuple(extra)
    known = (*(profile for profile in builtin_profiles()), *extra)
    given = [profile for profile in extra if profile.libos == name and version in ("", profile.version)]
    found = given or [
        profile for profile in known if profile.libos == name and version in ("", profile.version)
    ]
    if not found:
        names = ", ".join(f"{profile.libos}@{profile.version}" for profile in known)
        raise UsageError(f"there is no profile for the LibOS {libos} in this version", hint=f"known: {names}")
    return max(found, key=lambda profile: version_key(profile.version))


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are compared by."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


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
    reader.only("", " ".join(_TABLES))
    for table, keys in _TABLES.items():
        reader.only(table, f"{keys} source" if table != "profile" else keys)
    return Profile(
        libos=reader.text("profile", "libos"),
        version=reader.text("profile", "version"),
        title=reader.text("profile", "title"),
        elf=ElfSupport(
            fixed_address=reader.support("elf", "fixed_address"),
            static=reader.support("elf", "static"),
            static_pie=reader.support("elf", "static_pie"),
            script_depth=reader.number("elf", "script_depth", _MAX_SCRIPT_DEPTH),
            script_arguments=reader.support("elf", "script_arguments"),
        ),
        libc=LibcSupport(
            musl=reader.support("libc", "musl"),
            glibc=reader.support("libc", "glibc"),
            other=reader.support("libc", "other"),
            own=reader.flag("libc", "own"),
            musl_version=reader.version("libc", "musl_version"),
            glibc_version=reader.version("libc", "glibc_version"),
        ),
        process=ProcessSupport(
            fork=reader.support("process", "fork"),
            vfork=reader.support("process", "vfork"),
            spawn=reader.support("process", "spawn"),
            exec=reader.support("process", "exec"),
        ),
        instructions=InstructionSupport(
            syscall=reader.support("instructions", "syscall"),
            int80=reader.support("instructions", "int80"),
            rdtscp=reader.support("instructions", "rdtscp"),
        ),
        syscalls=SyscallSupport(
            implemented=reader.calls("syscalls", "implemented"),
            partial=reader.calls("syscalls", "partial"),
            refused=reader.calls("syscalls", "refused"),
            absent_errno=reader.text("syscalls", "absent_errno"),
            table_size=reader.number("syscalls", "table_size", _MAX_TABLE_SIZE),
            beyond_errno=reader.text("syscalls", "beyond_errno"),
        ),
        sizes=Sizes(
            memory=reader.number("sizes", "memory", _MAX_SIZE),
            minimum_memory=reader.number("sizes", "minimum_memory", _MAX_SIZE),
            kernel_heap=reader.number("sizes", "kernel_heap", _MAX_SIZE),
            threads=reader.number("sizes", "threads", _MAX_THREADS),
        ),
        runtimes={runtime: reader.text("runtimes", runtime) for runtime in _RUNTIMES.split()},
        sources={table: reader.text(table, "source") for table in _TABLES if table != "profile"},
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

    def flag(self, table: str, key: str) -> bool:
        value = self._value(table, key)
        if not isinstance(value, bool):
            raise self._wrong(table, key, "is neither true nor false")
        return value

    def version(self, table: str, key: str) -> tuple[int, ...]:
        value = self._value(table, key)
        if not isinstance(value, str) or not re.fullmatch(r"(\d{1,4}(\.\d{1,4}){1,3})?", value, re.ASCII):
            raise self._wrong(table, key, 'is no version, such as "2.31", nor ""')
        return version_key(value) or (0, 0)

    def calls(self, table: str, key: str) -> frozenset[str]:
        value = self._value(table, key)
        if not isinstance(value, list):
            raise self._wrong(table, key, "is not a list of names of system calls")
        for name in value:
            if not isinstance(name, str) or name not in NUMBERS:
                raise self._wrong(table, key, f"has {name!r}, which is no system call of x86-64")
        return frozenset(value)

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
