"""What Gramine starts: the program's path, whose C library it needs, and where its libraries are."""

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
from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.compat.program import Program
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs


class Libc(StrEnum):
    """Whose C library the program is made for; NONE of a static one."""

    GLIBC = "glibc"
    MUSL = "musl"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """The program of an image. ``path`` is absolute; ``libraries`` are folders in the order of search.

    ``glibc`` is the newest version that its files ask for, or that the image has; (0, 0) if there is none.
    ``catches_faults``: it makes exceptions of memory faults, by their address.
    """

    path: str
    libc: Libc
    libraries: tuple[str, ...]
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
    interpreter = executable.elf.interpreter
    family = libc_family(interpreter) if interpreter else "none"
    if family not in Libc.__members__.values():
        raise IncompatibleImageError(
            f"/{executable.path} is started by {interpreter}, which is neither glibc's loader nor musl's"
        )
    return EntryPoint(
        path=_start_path(rootfs, command, working_directory, environment, program),
        libc=Libc(family),
        libraries=tuple(_libraries(rootfs, family, program)) if interpreter else (),
        glibc=max((_glibc_version(entry) for entry in program.files), default=(0, 0)),
        catches_faults=any(runtime.name == "jvm" for runtime in program.runtimes),
    )


def library_path(entry_point: EntryPoint, preset: str, *, own_libc: bool) -> str:
    """Return LD_LIBRARY_PATH; ``preset`` is the image's, which alone counts for a static program.

    Gramine's loaders have defaults of their own, and read no ``ld.so.cache`` of the image: so all folders
    stand here. ``own_libc`` leaves Gramine's C library out.
    """
    if entry_point.libc is Libc.NONE:
        return preset
    runtime = [] if own_libc else [absolute(f"{RUNTIME}/{entry_point.libc}")]
    folders = [*runtime, *(folder for folder in preset.split(":") if folder), *entry_point.libraries]
    return ":".join(dict.fromkeys(folders))


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


def _libraries(rootfs: Rootfs, family: str, program: Program) -> Iterator[str]:
    """Yield each folder that is there once: those of RUNPATH first, which LD_LIBRARY_PATH precedes."""
    seen: set[str] = set()
    for path in (*_run_paths(program), *default_folders(rootfs, family)):
        folder = rootfs.find(path)
        if folder is not None and folder.type is FileType.DIRECTORY and folder.path not in seen:
            seen.add(folder.path)
            yield posixpath.normpath(path)


def _run_paths(program: Program) -> Iterator[str]:
    for entry in program.files:
        origin = f"/{entry.path.rpartition('/')[0]}"
        for text in (entry.elf.rpath, entry.elf.runpath) if entry.elf else ():
            for folder in text.split(":"):
                path = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
                if path.startswith("/") and "$" not in path:
                    yield path


def _glibc_version(entry: Entry) -> tuple[int, int]:
    versions = (*entry.elf.versions, *entry.elf.defines) if entry.elf else ()
    matches = (re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version) for version in versions)
    return max(((int(match[1]), int(match[2])) for match in matches if match), default=(0, 0))
