"""Profiles: what one version of one LibOS can run, as data (``libos_profiles/NAME.toml``)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from enclavize.compat.profile_schema import (
    Calls,
    Document,
    Flag,
    Names,
    Paths,
    SymbolVersions,
    Text,
    Version,
    one_of,
    up_to,
)
from enclavize.compat.syscalls import NUMBERS
from enclavize.errors import UsageError
from enclavize.libos_version import version_key
from enclavize.resources import data_dir
from enclavize.tee.known_flaws import KNOWN_FLAWS

_MAX_SCRIPT_HEAD = 4096
_MAX_SCRIPT_DEPTH = 5
_MAX_TABLE_SIZE = 1024
_MAX_SIZE = 1 << 40
_MAX_THREADS = 1 << 16


class Support(StrEnum):
    """How a LibOS stands to something. ``PARTIAL``: it works in some cases, or slowly."""

    YES = "yes"
    PARTIAL = "partial"
    UNTESTED = "untested"
    NO = "no"


Answer = Annotated[Support, one_of(Support)]
Bytes = Annotated[int, up_to(_MAX_SIZE)]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table of a profile; ``source`` tells where its facts come from."""

    source: Text


@dataclass(frozen=True, kw_only=True)
class ElfSupport(Section):
    """Kinds of executables; ``script_depth`` counts the interpreters of scripts that are followed."""

    fixed_address: Answer
    static: Answer
    static_pie: Answer
    script_depth: Annotated[int, up_to(_MAX_SCRIPT_DEPTH)]
    script_arguments: Answer
    """Whether ``#!/bin/sh -e`` is split into an interpreter and its argument.

    ``partial``: that of an entrypoint is, as builds start its interpreter in its place, whatever its depth.
    """
    script_head: Annotated[int, up_to(_MAX_SCRIPT_HEAD)]
    """Bytes of a script in which its first line must end; 0: no limit of the LibOS's own is known."""
    script_least: Annotated[int, up_to(_MAX_SCRIPT_HEAD)]
    """Bytes that a script must have, or else the LibOS ends."""


@dataclass(frozen=True, kw_only=True)
class LibcSupport(Section):
    """Whose loaders there are, and whose C library runs.

    ``own`` tells whether the LibOS puts its C library in the place of the image's. ``musl_version`` is its
    version then, ``musl_symbols`` and ``glibc_symbols`` the highest symbol versions that its libraries for
    programs of musl and of glibc define; (0, 0) and nothing otherwise.
    """

    musl: Answer
    glibc: Answer
    other: Answer
    own: Flag
    musl_version: Version
    musl_symbols: SymbolVersions
    glibc_symbols: SymbolVersions

    def of(self, family: str) -> Support:
        """Return the support for a family of C libraries: musl, glibc or other."""
        match family:
            case "musl":
                return self.musl
            case "glibc":
                return self.glibc
            case _:
                return self.other

    def symbols_of(self, family: str) -> dict[str, tuple[int, ...]]:
        """Return what the LibOS's own libraries define for programs of this family."""
        return {"musl": self.musl_symbols, "glibc": self.glibc_symbols}.get(family, {})


@dataclass(frozen=True, kw_only=True)
class ProcessSupport(Section):
    """How new processes come to be. ``spawn`` is posix_spawn, on which libraries build system and popen."""

    fork: Answer
    parallel: Answer
    """Whether processes that are forked from one another run at the same time."""
    vfork: Answer
    spawn: Answer
    exec: Answer
    groups: Answer
    """Whether a signal to a group of processes reaches all of them."""
    commands: Answer
    """Whether engines may start commands in the running container: exec, probes, health checks."""
    working_directory: Answer
    """Yes: one that is not there is made. Partial: all programs start in the root."""
    standard_error: Answer
    """Whether the program's standard error is a stream of its own on the host."""


@dataclass(frozen=True, kw_only=True)
class InstructionSupport(Section):
    """Instructions that an enclave cannot execute itself: what becomes of them outside the C library."""

    syscall: Answer
    int80: Answer
    sysenter: Answer
    rdtscp: Answer


@dataclass(frozen=True, kw_only=True)
class FileSupport(Section):
    """What the LibOS makes of the image's files."""

    own: Paths
    """Files that the LibOS puts in the place of the image's."""
    hidden: Paths
    """Folders over which the LibOS mounts file systems of its own: what the image has there is not seen."""
    rewritten: Paths
    """Files that are written when the enclave starts, with what the host says."""
    left_out: Paths
    """Files and folders of the image that the LibOS's own tools do not let the enclave open."""
    users: Answer
    """Whether the program runs as the image's user, and owners and modes of files count."""
    special: Answer
    """FIFOs, sockets and devices that the image has outside ``hidden``."""
    shared_memory: Answer
    """Memory shared with other processes: shm_open, and MAP_SHARED mappings that are written."""
    writable: Answer
    """Whether programs may write to the image's own folders; if not, to volumes and to ``memory`` alone."""
    memory: Paths
    """Folders that are in memory, whatever the image says."""
    appends: Answer
    """Whether a file that is opened to append (O_APPEND) keeps what it has."""
    memory_shared: Answer
    """Whether the processes of a program see each other's files there."""
    pipes_by_name: Answer
    """Whether a pipe can be opened by the name of its descriptor: /dev/fd, /dev/stdin, bash's ``<(...)``."""
    written_programs: Answer
    """Whether a program that was written inside can be started."""


@dataclass(frozen=True, kw_only=True)
class SyscallSupport(Section):
    """The system call table. What is in none of the sets is absent."""

    implemented: Calls
    partial: Calls
    refused: Calls
    """In the table, but every call of it fails."""
    absent_errno: Text
    table_size: Annotated[int, up_to(_MAX_TABLE_SIZE)]
    """Numbers from here on give ``beyond_errno``."""
    beyond_errno: Text
    absent_options: Names
    """Options of sockets that setsockopt and getsockopt do not know, as far as programs speak of them."""
    absent_families: Names
    """Address families that socket does not know, as far as programs cannot do without them."""
    network_policy: Answer
    """Whether the measured policy restricts where sockets may lead (``--allow-network``)."""

    def serves(self, name: str) -> bool:
        """Tell whether a call can succeed."""
        return name in self.implemented or name in self.partial

    def errno_of(self, name: str) -> str:
        """Return the name of the error that an absent call gives."""
        return self.beyond_errno if NUMBERS[name] >= self.table_size else self.absent_errno


@dataclass(frozen=True, kw_only=True)
class Sizes(Section):
    """Bytes of memory and of the LibOS's own heap (0: it is part of the memory), and threads, by default."""

    memory: Bytes
    minimum_memory: Bytes
    kernel_heap: Bytes
    heap_per_file: Bytes
    """What each file of the root takes of that heap, and a descriptor of the host, once it was used."""
    threads: Annotated[int, up_to(_MAX_THREADS)]


@dataclass(frozen=True, kw_only=True)
class RuntimeAdvice(Section):
    """What to do, or to expect, with each language runtime."""

    go: Text
    jvm: Text
    cpython: Text
    node: Text
    dotnet: Text
    erlang: Text
    rust: Text

    def of(self, runtime: str) -> str:
        """Return the advice for a runtime that ``runtimes.py`` recognises."""
        advice: str = getattr(self, runtime)
        return advice


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One LibOS in one version. ``title`` is how messages call it."""

    libos: Text
    version: Text
    title: Text
    elf: ElfSupport
    libc: LibcSupport
    process: ProcessSupport
    instructions: InstructionSupport
    files: FileSupport
    syscalls: SyscallSupport
    sizes: Sizes
    runtimes: RuntimeAdvice


def load_profile(path: Path) -> Profile:
    """Read a profile and check it. Raises UsageError naming the file, the line and the key."""
    document = Document(path)
    schemas = {
        name: hint
        for name, hint in get_type_hints(Profile).items()
        if isinstance(hint, type) and issubclass(hint, Section)
    }
    document.only(("profile", *schemas))
    values: dict[str, Any] = document.read("profile", Profile, without=schemas)
    for name, schema in schemas.items():
        values[name] = schema(**document.read(name, schema))
    return Profile(**values)


@cache
def builtin_profiles(libos: str = "") -> tuple[Profile, ...]:
    """Return the profiles of this package, or those of one LibOS, by LibOS and then by version."""
    paths = (path for path in data_dir("libos_profiles").glob("*.toml") if path.name != KNOWN_FLAWS)
    profiles = [load_profile(path) for path in paths if libos in ("", path.stem.partition("-")[0])]
    return tuple(sorted(profiles, key=lambda profile: (profile.libos, version_key(profile.version))))


def profile_for(libos: str, extra: Iterable[Profile] = (), *, version: str | None = None) -> Profile:
    """Return the profile that ``NAME`` or ``NAME@VERSION`` means; the newest for a name alone.

    ``version`` is the version of an installed LibOS: the newest profile is taken that is not newer than it;
    the profile's ``title`` says which. Profiles in ``extra`` come before those of the package. Raises
    UsageError.
    """
    name, _, exact = libos.partition("@")
    extra = tuple(extra)
    for profiles in (extra, builtin_profiles(name)):
        found = [profile for profile in profiles if profile.libos == name and exact in ("", profile.version)]
        if version is not None and not exact:
            found = [profile for profile in found if version_key(profile.version) <= version_key(version)]
        if found:
            return max(found, key=lambda profile: version_key(profile.version))
    wanted = f"{libos} {version}" if version is not None and not exact else libos
    known = (*builtin_profiles(), *extra)
    raise UsageError(
        f"there is no profile for the LibOS {wanted} in this version",
        hint="known: " + ", ".join(f"{profile.libos}@{profile.version}" for profile in known),
    )
