"""First lines of scripts (``#!``) that a LibOS does not read as Linux does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.profile import Support
from enclavize.compat.program import MAX_SCRIPTS, env_command, split_line
from enclavize.compat.report import Severity
from enclavize.compat.wording import finding_about
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.program import Program
    from enclavize.compat.report import Finding
    from enclavize.rootfs.entry import Entry

_BY_BUILD = "a build makes the interpreter the entry point, and the host may give it other arguments"
_KEPT_BY = "to keep the script the entry point, let its first line be the path of an ELF program alone"
_AROUND_LINE = 3
"""Bytes of a first line beside its text: ``#!`` and the newline."""


def first_line_findings(program: Program, profile: Profile, *, by_build: bool) -> Iterator[Finding]:
    """Tell of scripts whose interpreter the LibOS does not find.

    ``by_build`` tells that builds make the interpreter the entrypoint, with the argument and the script
    behind it (``libos/occlum/document.py``). They read what Linux reads when it starts the program, and not
    what ``env`` starts.
    """
    depth = profile.elf.script_depth
    resolved = _read_by_linux(program) if by_build else 0
    if len(program.scripts) > depth:
        script = program.scripts[depth]
        yield _finding(
            "OCC010",
            script,
            f"is a script that interprets a script, of which {profile.title} follows {depth}",
            "make an ELF program the interpreter",
            by_build=len(program.scripts) <= resolved,
        )
    for number, script in enumerate(program.scripts):
        interpreter, argument = split_line(script.interpreter_line)
        if argument and profile.elf.script_arguments in (Support.NO, Support.PARTIAL):
            yield _finding(
                "OCC015",
                script,
                f"begins with #!{printable(script.interpreter_line)}, "
                f"of which {profile.title} takes all as the name of the interpreter",
                f"make {printable(interpreter)} the entrypoint, with the argument and the script behind it",
                by_build=number < resolved,
            )
        elif problem := unread_first_line(script, profile.elf.script_head, profile.elf.script_least):
            yield _finding(
                "OCC015",
                script,
                f"{problem}: {profile.title} does not start it",
                f"make {printable(interpreter)} the entrypoint, with the script behind it",
                by_build=number < resolved,
            )


def unread_first_line(script: Entry, head: int, least: int) -> str:
    """Tell what is wrong with a script for a LibOS that reads ``head`` bytes of it, and wants ``least``."""
    if script.size < least:
        return f"has {script.size} bytes, less than {least}"
    length = len(script.interpreter_line.encode("utf-8", "surrogateescape")) + _AROUND_LINE
    return f"has a first line of {length} bytes, more than {head}" if 0 < head < length else ""


def _read_by_linux(program: Program) -> int:
    """Return how many of the scripts Linux reads before it starts an interpreter; 0 if there are too many."""
    for number, script in enumerate(program.scripts, 1):
        if env_command(*split_line(script.interpreter_line)):
            return number if number <= MAX_SCRIPTS else 0
    return len(program.scripts) if len(program.scripts) <= MAX_SCRIPTS else 0


def _finding(code: str, script: Entry, text: str, remedy: str, *, by_build: bool) -> Finding:
    if by_build:
        return finding_about(code, Severity.WARNING, script, f"{text}; {_BY_BUILD}", _KEPT_BY)
    return finding_about(code, Severity.ERROR, script, text, remedy)
