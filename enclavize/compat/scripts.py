"""The script that a shell is given: as a program, as a file, or behind ``-c``."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.compat.program import Program
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_NAMES = ("sh", "ash", "bash", "dash", "ksh", "mksh")
SHELLS = (*_NAMES, "busybox")
"""Files that are shells: ``/bin/sh`` is a link to one, or one itself, whose name nobody knows."""

FORKING_SHELLS = ("bash", "busybox")
"""Those that start a command by fork alone; dash takes vfork, and of the others that is not known."""

_OPTION = re.compile(r"[-+]([A-Za-z]+)")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a shell is to do. ``name`` is its ``$0``, ``parameters`` are ``$@``."""

    text: str
    name: str
    parameters: tuple[str, ...] = ()


def script_of(
    program: Program, arguments: Sequence[str], rootfs: Rootfs, working_directory: str
) -> Script | None:
    """Return the script of a command, None for what is no shell's, or is not known."""
    if program.executable is None or posixpath.basename(program.executable.path) not in SHELLS:
        return None
    if program.scripts:
        if len(program.scripts) != 1:
            return None
        name, *rest = arguments
        return _read(program.scripts[0], name, rest)
    name, *rest = arguments
    if posixpath.basename(name) == "busybox" and rest:
        name, *rest = rest
    if posixpath.basename(name) not in _NAMES:
        return None
    is_command, at = False, 0
    while at < len(rest) and (match := _OPTION.fullmatch(rest[at])):
        if "s" in match[1] or "n" in match[1]:
            return None
        is_command |= "c" in match[1] and rest[at][0] == "-"
        at += 2 if "o" in match[1].lower() else 1
    if rest[at : at + 1] == ["--"]:
        at += 1
    if at >= len(rest) or rest[at].startswith("-"):
        return None
    if is_command:  # behind the text comes the name that the shell is to have
        return Script(text=rest[at], name=(rest[at + 1 :] or [name])[0], parameters=tuple(rest[at + 2 :]))
    return _read(rootfs.find(posixpath.join(working_directory, rest[at])), rest[at], rest[at + 1 :])


def _read(entry: Entry | None, name: str, parameters: Sequence[str]) -> Script | None:
    if entry is None or entry.content is None or b"\0" in entry.content:
        return None
    text = entry.content.decode("utf-8", "surrogateescape")
    return Script(text=text, name=name, parameters=tuple(parameters))
