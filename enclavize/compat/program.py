"""What an image starts: the program, found through PATH, links and ``#!`` lines, and its libraries."""

from __future__ import annotations

import posixpath
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enclavize.compat.library_path import LibraryPath, libc_family
from enclavize.compat.runtimes import find_runtimes
from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.compat.runtimes import Runtime
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

MAX_SCRIPTS = 5
"""Interpreters of scripts that the kernel follows (BINPRM_MAX_RECURSION in fs/exec.c of Linux)."""

_MAX_LIBRARIES = 4096
_MAX_PRELOADED = 256
_MAX_PATH = 1024
"""Folders of PATH that are searched."""
_MUSL_OWN_NAMES = ("libc.so", "libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A file that is needed and is not in the image."""

    wanted: str
    wanted_by: str


@dataclass(kw_only=True)
class Program:
    """The files that make up the program. ``scripts`` come first in the chain, ``executable`` last.

    ``launchers`` are the env programs that replace themselves by the next one of the chain.
    """

    scripts: list[Entry] = field(default_factory=list)
    launchers: list[Entry] = field(default_factory=list)
    executable: Entry | None = None
    interpreter: Entry | None = None
    libraries: list[Entry] = field(default_factory=list)
    bundled: list[Entry] = field(default_factory=list)
    """Those of the libraries that run paths lead to: a LibOS's own do not come before them."""
    runtimes: tuple[Runtime, ...] = ()
    missing_executable: Missing | None = None
    missing_interpreter: Missing | None = None
    missing_libraries: list[Missing] = field(default_factory=list)

    @property
    def started(self) -> Entry | None:
        """What the command line names: the first script, or the executable; None if that is missing."""
        return self.scripts[0] if self.executable and self.scripts else self.executable

    @property
    def files(self) -> list[Entry]:
        """All files that are there."""
        single = [entry for entry in (self.executable, self.interpreter) if entry]
        return [*self.scripts, *self.launchers, *single, *self.libraries]


def find_program(
    rootfs: Rootfs, command: str, working_directory: str, environment: Mapping[str, str]
) -> Program:
    """Follow ``command`` as execvp would inside the image. Nothing is executed."""
    program = Program()
    path = environment.get("PATH", "")
    wanted, wanted_by = command, "the image"
    entry = _search(rootfs, command, working_directory, path)
    for _ in range(MAX_SCRIPTS + 1):
        if entry is None or entry.type is not FileType.REGULAR:
            program.missing_executable = Missing(wanted=wanted, wanted_by=wanted_by)
            return program
        if not entry.interpreter_line:
            break
        program.scripts.append(entry)
        wanted, argument = split_line(entry.interpreter_line)
        wanted_by = f"/{entry.path}"
        entry = rootfs.find(wanted)
        if entry is not None and entry.elf is not None and (name := env_command(wanted, argument)):
            program.launchers.append(entry)
            wanted, wanted_by = name, wanted
            entry = _search(rootfs, name, working_directory, path)
    program.executable = entry
    if entry and entry.elf and entry.elf.interpreter:
        program.interpreter = rootfs.find(entry.elf.interpreter)
        if program.interpreter is None:
            program.missing_interpreter = Missing(wanted=entry.elf.interpreter, wanted_by=f"/{entry.path}")
        _add_libraries(rootfs, program, entry, environment)
    if entry:
        program.runtimes = find_runtimes(entry, program.libraries, rootfs, environment)
    return program


def split_line(line: str) -> tuple[str, str]:
    """Return the interpreter and its argument in the line after ``#!``: blanks and tabs alone separate."""
    interpreter, *argument = re.split(r"[ \t]+", line, maxsplit=1)
    return interpreter, "".join(argument)


def env_command(interpreter: str, argument: str) -> str:
    """Return the command that ``env`` with this argument of a first line starts, "" for other interpreters.

    Linux makes one argument of all words, which ``env -S`` splits again. Variables may come first.
    """
    if posixpath.basename(interpreter) != "env":
        return ""
    split = re.match(r"(?:-S|--split-string[= ])\s*", argument)
    words = argument[split.end() :].split() if split else [argument]
    return next((word for word in words if "=" not in word and not word.startswith("-")), "")


def _search(rootfs: Rootfs, command: str, working_directory: str, path: str) -> Entry | None:
    if "/" in command:  # also what nobody may execute, or is no file
        return rootfs.find(posixpath.join(working_directory, command))
    return CommandPath(rootfs, working_directory, path).find(command)


class CommandPath:
    """The folders of PATH that the image has; each is looked up once."""

    def __init__(self, rootfs: Rootfs, working_directory: str, path: str) -> None:
        self._rootfs = rootfs
        self._working_directory = working_directory
        names = path.split(":", _MAX_PATH)[:_MAX_PATH]
        found = (rootfs.find(posixpath.join(working_directory, name)) for name in dict.fromkeys(names))
        self._folders = tuple(
            dict.fromkeys(entry.path for entry in found if entry and entry.type is FileType.DIRECTORY)
        )

    def find(self, name: str) -> Entry | None:
        """Return the program that a command starts."""
        if "/" in name:
            paths = [posixpath.join(self._working_directory, name)]
        else:
            inside = (f"{folder}/{name}" if folder else name for folder in self._folders)
            paths = [path for path in inside if self._rootfs.get(path)]
        entries = map(self._rootfs.find, paths)
        return next(
            (entry for entry in entries if entry and entry.type is FileType.REGULAR and entry.mode & 0o111),
            None,
        )


def _add_libraries(
    rootfs: Rootfs, program: Program, executable: Entry, environment: Mapping[str, str]
) -> None:
    """Walk DT_NEEDED breadth-first, as the loader does, after LD_PRELOAD, of which some may be missing."""
    family = libc_family(executable.elf.interpreter) if executable.elf else "other"
    known = set(_MUSL_OWN_NAMES) if family == "musl" else set()
    if program.interpreter and program.interpreter.elf:
        known |= {program.interpreter.elf.soname, posixpath.basename(program.interpreter.path)}
    path = LibraryPath(rootfs, family, environment)
    path.add(executable, None)
    found: set[str] = set()
    preloaded = set(re.split(r"[ :]+", environment.get("LD_PRELOAD", ""))[:_MAX_PRELOADED]) - {""}
    pending = deque([executable])
    while pending and len(known) < _MAX_LIBRARIES:
        user = pending.popleft()
        if user.elf is None:
            continue
        for name in (*(sorted(preloaded) if user is executable else ()), *user.elf.needed):
            if name in known:
                continue
            known.add(name)
            library = path.find(name, user)
            if library is None and name not in preloaded:
                program.missing_libraries.append(Missing(wanted=name, wanted_by=f"/{user.path}"))
            elif library is not None and library.path not in found:
                found.add(library.path)
                path.add(library, user)
                program.libraries.append(library)
                if path.is_bundled(library, user):
                    program.bundled.append(library)
                pending.append(library)
