"""Who sends signals to groups of processes, which not every LibOS delivers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enclavize.compat.launchers import LAUNCHERS, command_behind
from enclavize.compat.profile import Support
from enclavize.compat.report import Finding, Severity
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.stages import Stage
    from enclavize.compat.subject import Subject

_SIGNAL = r"(?:-s\s+\S+|-[\w${}]+)\s+"
_KILLS_GROUP = re.compile(rf"\bkill\s+(?:{_SIGNAL})*(?:0(?![\w.])|--\s+-)|\bkill\s+{_SIGNAL}-(?!1\b)[\"$\w]")
"""``kill 0``, ``kill -- -$$``, ``kill -TERM -$$``; not ``kill -0 PID``, which asks whether it is there."""

_TO_CHILD_ALONE = {"dumb-init": frozenset({"-c", "--single-child"})}
"""Launchers that pass signals on to the group of their child, but for these options."""
_TO_GROUP = dict.fromkeys(("tini", "tini-static", "docker-init"), "-g")
"""Launchers that do so with this option, or with the variable (README of tini 0.19)."""
_VARIABLE = "TINI_KILL_PROCESS_GROUP"


def group_findings(stage: Stage, subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell of launchers and scripts whose signals do not arrive."""
    started = stage.program.started
    if profile.process.groups is not Support.NO or started is None:
        return
    remedy = ""
    if _passes_on_to_group(stage, subject):
        only = _TO_CHILD_ALONE.get(stage.name)
        remedy = f"{stage.name} {max(only, key=len)}" if only else f"{stage.name} without -g and {_VARIABLE}"
    elif stage.script is not None and _KILLS_GROUP.search(stage.script.text):
        remedy = "name each process: kill $PID"
    if remedy:
        yield Finding(
            code="OCC065",
            severity=Severity.WARNING,
            path=started.path,
            message=f"{printable(stage.name)} sends signals to a group of processes, where {profile.title} "
            "delivers none: what is to end by them goes on",
            remedy=remedy,
        )


def _passes_on_to_group(stage: Stage, subject: Subject) -> bool:
    launcher = LAUNCHERS.get(stage.name)
    if launcher is None or stage.script is not None:
        return False
    command = command_behind(launcher, stage.arguments[1:])
    given = frozenset(stage.arguments[1 : len(stage.arguments) - len(command)])
    if stage.name in _TO_CHILD_ALONE:
        return not given & _TO_CHILD_ALONE[stage.name]
    option = _TO_GROUP.get(stage.name)
    return option is not None and (option in given or _VARIABLE in subject.environment)
