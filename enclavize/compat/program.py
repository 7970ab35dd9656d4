"""What an image starts: the program, found through PATH, links and ``#!`` lines, and its libraries."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

MAX_SCRIPTS = 5
"""Interpreters of scripts that the kernel follows (BINPRM_MAX_RECURSION in fs/exec.c of Linux)."""

_MAX_LIBRARIES = 4096
_MUSL_PATH_FILE = "etc/ld-musl-x86_64.path"
_MUSL_PATH = ("/lib", "/usr/local/lib", "/usr/lib")  # ldso/dynlink.c in musl
_GLIBC_PATH = (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
)  # fmt: skip
_MUSL_OWN_NAMES = ("libc.so", "libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A file that is needed and is not in the image."""

    wanted: str
    wanted_by: str


@dataclass(kw_only=True)
class Program:
    """The files that make up the program. ``scripts`` come first in the chain, ``executable`` last."""

    scripts: list[Entry] = field(default_factory=list)
    executable: Entry | None = None
    interpreter: Entry | None = None
    libraries: list[Entry] = field(default_factory=list)
    missing_executable: Missing | None = None
    missing_interpreter: Missing | None = None
    missing_libraries: list[Missing] = field(default_factory=list)

    @property
    def files(self) -> list[Entry]:
        """All files that are there."""
        single = [entry for entry in (self.executable, self.interpreter) if entry]
        return [*self.scripts, *single, *self.libraries]


def libc_family(interpreter: str) -> str:
    """Tell whose loader a PT_INTERP names: musl, glibc or other."""
    name = posixpath.basename(interpreter)
    if name.startswith("ld-musl-"):
        return "musl"
    return "glibc" if name.startswith(("ld-linux", "ld64.so", "ld.so")) else "other"


def find_program(
    rootfs: Rootfs, command: str, working_directory: str, environment: Mapping[str, str]
) -> Program:
    """Follow ``command`` as execvp would inside the image. Nothing is executed."""
    program = Program()
    wanted, wanted_by = command, "the image"
    entry = _search(rootfs, command, working_directory, environment.get("PATH", ""))
    for _ in range(MAX_SCRIPTS + 1):
        if entry is None or entry.type is not FileType.REGULAR:
            program.missing_executable = Missing(wanted=wanted, wanted_by=wanted_by)
            return program
        if not entry.interpreter_line:
            break
        program.scripts.append(entry)
        wanted, wanted_by = entry.interpreter_line.split(maxsplit=1)[0], f"/{entry.path}"
        entry = rootfs.find(wanted)
    program.executable = entry
    if entry and entry.elf and entry.elf.interpreter:
        program.interpreter = rootfs.find(entry.elf.interpreter)
        if program.interpreter is None:
            program.missing_interpreter = Missing(wanted=entry.elf.interpreter, wanted_by=f"/{entry.path}")
        _add_libraries(rootfs, program, entry, environment)
    return program


def _search(rootfs: Rootfs, command: str, working_directory: str, path: str) -> Entry | None:
    if "/" in command:
        return rootfs.find(posixpath.join(working_directory, command))
    for folder in path.split(":"):
        entry = rootfs.find(posixpath.join(working_directory, folder, command))
        if entry and entry.type is FileType.REGULAR and entry.mode & 0o111:
            return entry
    return None


def _add_libraries(
    rootfs: Rootfs, program: Program, executable: Entry, environment: Mapping[str, str]
) -> None:
    """Walk DT_NEEDED breadth-first, as the loader does."""
    family = libc_family(executable.elf.interpreter) if executable.elf else "other"
    known = set(_MUSL_OWN_NAMES) if family == "musl" else set()
    if program.interpreter and program.interpreter.elf:
        known |= {program.interpreter.elf.soname, posixpath.basename(program.interpreter.path)}
    preset = [folder for folder in environment.get("LD_LIBRARY_PATH", "").split(":") if folder]
    defaults = _default_path(rootfs, family)
    pending = [executable]
    while pending and len(known) < _MAX_LIBRARIES:
        user = pending.pop(0)
        if user.elf is None:
            continue
        for name in user.elf.needed:
            if name in known:
                continue
            known.add(name)
            folders = [*_run_path(user, executable), *preset, *defaults]
            library = _find_library(rootfs, name, folders)
            if library is None:
                program.missing_libraries.append(Missing(wanted=name, wanted_by=f"/{user.path}"))
            else:
                program.libraries.append(library)
                pending.append(library)


def _find_library(rootfs: Rootfs, name: str, folders: list[str]) -> Entry | None:
    candidates = [name] if "/" in name else [posixpath.join(folder, name) for folder in folders]
    for path in candidates:
        entry = rootfs.find(path)
        if entry and entry.type is FileType.REGULAR:
            return entry
    return None


def _run_path(*users: Entry) -> Iterator[str]:
    for user in users:
        if user.elf:
            origin = posixpath.dirname(f"/{user.path}")
            for folder in (user.elf.runpath or user.elf.rpath).split(":"):
                if folder:
                    yield folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)


def _default_path(rootfs: Rootfs, family: str) -> tuple[str, ...]:
    if family != "musl":
        return _GLIBC_PATH
    listed = rootfs.find(_MUSL_PATH_FILE)
    if listed is None or listed.content is None:
        return _MUSL_PATH
    return tuple(listed.content.decode("utf-8", "surrogateescape").replace(":", "\n").split())
