"""What Gramine starts: the program's path, and whose C library it needs."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from enclavize.compat.library_path import default_folders, libc_family
from enclavize.compat.program import find_program
from enclavize.errors import IncompatibleImageError
from enclavize.libos.gramine.layout import RUNTIME, absolute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.compat.program import Program
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_INTERPRETER_FOLDERS = ("/lib", "/lib64")


class Libc(StrEnum):
    """Whose C library the program is made for; of a static one, whose the image has for its children."""

    GLIBC = "glibc"
    MUSL = "musl"
    NONE = "none"


INTERPRETERS = {Libc.GLIBC: "/lib64/ld-linux-x86-64.so.2", Libc.MUSL: "/lib/ld-musl-x86_64.so.1"}
"""What programs have in PT_INTERP."""


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """The program of an image. ``path`` is absolute; ``interpreter`` is its PT_INTERP, or that of others.

    ``glibc`` is the newest version that its files ask for, or that the image has; (0, 0) if there is none.
    ``catches_faults``: it makes exceptions of memory faults, by their address.
    """

    path: str
    libc: Libc
    interpreter: str
    glibc: tuple[int, int]
    catches_faults: bool = False


def find_entry_point(
    rootfs: Rootfs, command: str, working_directory: str, environment: Mapping[str, str]
) -> EntryPoint:
    """Find what the kernel would start. Raises IncompatibleImageError for what Gramine cannot start."""
    program = find_program(rootfs, command, working_directory, environment)
    missing = program.missing_executable or program.missing_interpreter
    if missing:
        raise IncompatibleImageError(
            f"{missing.wanted}, which {missing.wanted_by} starts, is not in the image",
            hint="check ENTRYPOINT, CMD and PATH of the image",
        )
    executable = program.executable
    if executable is None or executable.elf is None:
        raise IncompatibleImageError(f"{command} of the image is neither an ELF program nor a script")
    interpreter = executable.elf.interpreter or _interpreter_of_others(rootfs)
    family = libc_family(interpreter) if interpreter else "none"
    if family not in Libc.__members__.values():
        raise IncompatibleImageError(
            f"/{executable.path} is started by {interpreter}, which is neither glibc's loader nor musl's"
        )
    return EntryPoint(
        path=_start_path(rootfs, command, working_directory, environment, program),
        libc=Libc(family),
        interpreter=interpreter,
        glibc=max(map(_glibc_version, (*program.files, *_libraries(rootfs, "libc.so.6"))), default=(0, 0)),
        catches_faults=any(runtime.name == "jvm" for runtime in program.runtimes),
    )


def library_path(entry_point: EntryPoint, preset: str, *, own_libc: bool) -> str:
    """Return LD_LIBRARY_PATH; ``preset`` is the image's. Without it there is none, as in the image.

    Gramine looks for an interpreter in these folders alone, so that of the program's is one of them;
    without the variable, in /lib and /lib64.
    """
    if entry_point.libc is Libc.NONE:
        return preset
    if own_libc:
        folder = posixpath.dirname(entry_point.interpreter)
        return f"{preset}:{folder}" if preset else "" if folder in _INTERPRETER_FOLDERS else folder
    return f"{absolute(f'{RUNTIME}/{entry_point.libc}')}:{preset}" if preset else ""


def _start_path(
    rootfs: Rootfs, command: str, working_directory: str, environment: Mapping[str, str], program: Program
) -> str:
    """Return the path of a program without links, as in /proc/self/exe; that of a script as it is found.

    The kernel hands a script's path to its interpreter as it was given.
    """
    if not program.scripts:
        assert program.executable is not None
        return f"/{program.executable.path}"
    folders = [""] if "/" in command else environment.get("PATH", "").split(":")
    candidates = (posixpath.join("/", working_directory, folder, command) for folder in folders)
    found = next(path for path in candidates if rootfs.find(path) is program.scripts[0])
    return posixpath.normpath(found)


def _interpreter_of_others(rootfs: Rootfs) -> str:
    """Return the interpreter that a static program's children would have; "" if the image has none."""
    return next((path for path in INTERPRETERS.values() if rootfs.find(path) is not None), "")


def _libraries(rootfs: Rootfs, name: str) -> Iterator[Entry]:
    for folder in default_folders(rootfs, Libc.GLIBC):
        if entry := rootfs.find(f"{folder}/{name}"):
            yield entry


def _glibc_version(entry: Entry) -> tuple[int, int]:
    versions = (*entry.elf.versions, *entry.elf.defines) if entry.elf else ()
    matches = (re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version) for version in versions)
    return max(((int(match[1]), int(match[2])) for match in matches if match), default=(0, 0))
