"""Scripts that write programs and start them, which a LibOS may refuse: they were not measured."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from enclavize.compat.profile import Support
from enclavize.compat.report import Finding, Severity
from enclavize.compat.wording import listed
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.stages import Stage
    from enclavize.compat.subject import Subject

_EXECUTABLE = re.compile(r"[ugoa]*[+=][rwXst]*x[rwXst]*|0?[0-7]*[1357][0-7]{0,2}", re.ASCII)
"""Modes of chmod by which somebody may execute a file."""


def written_program_findings(stage: Stage, subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell of files that are written and started: an error where the script certainly ends with that."""
    if profile.files.written_programs is not Support.NO or stage.script is None:
        return
    written: set[str] = set()
    found: dict[str, bool] = {}
    for command in stage.commands:
        program, operands = command.words[0], command.operands
        if program in written:
            ends = stage.fails_with(command) or (command.replaces and command.certain)
            found[program] = found.get(program, False) or ends
        if posixpath.basename(program) == "chmod" and operands and _EXECUTABLE.fullmatch(operands[0]):
            for path in operands[1:]:
                if path.startswith("/") and subject.rootfs.find(path) is None:
                    found.setdefault(path, False)
        written.update(path for path in command.writes if not _is_opened(path, subject))
    if found:
        started = stage.program.started
        yield Finding(
            code="OCC063",
            severity=Severity.ERROR if any(found.values()) else Severity.WARNING,
            path=started.path if started else "",
            message=f"{printable(stage.name)} makes programs, {printable(listed(found))}; {profile.title} "
            "starts only those that are measured",
            remedy="put them into the image; --volume PATH:exec for a folder from which the host may give "
            "programs",
        )


def _is_opened(path: str, subject: Subject) -> bool:
    return any(path.startswith(f"{place.rstrip('/')}/") for place in subject.writable)
