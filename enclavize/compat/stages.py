"""What a command line comes to, step by step: entrypoint, launcher, the server that they become."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from enclavize.compat.launchers import LAUNCHERS, command_behind
from enclavize.compat.program import find_program
from enclavize.compat.script_commands import script_commands
from enclavize.compat.scripts import script_of
from enclavize.compat.shell import BUILTINS
from enclavize.compat.shell_conditions import Known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.compat.program import Program
    from enclavize.compat.script_commands import ScriptCommand
    from enclavize.compat.scripts import Script
    from enclavize.rootfs.tree import Rootfs

_MAX_STAGES = 16
_DROPPED = -1
"""A user that is not root, whoever it is."""
_ENDS_AT_FAILURE = re.compile(r"-[a-z]*e[a-z]*")
"""Of ``set``: the script ends with the first command that fails."""
_SETS_HOME = re.compile(r"\bHOME=")
_SETS_PATHS = re.compile(r"\b(?:LD_LIBRARY_)?PATH=|(?:^|[;&|])\s*(?:\.|source)\s", re.MULTILINE)
"""What a script says that changes where programs and libraries are looked for, or may: it reads another."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step. ``certain``: all ways lead there; ``commands`` are those that its script comes to.

    ``elsewhere``: a step before it may have changed where programs and libraries are looked for.
    """

    arguments: tuple[str, ...]
    program: Program
    uid: int
    certain: bool = True
    commands: tuple[ScriptCommand, ...] = ()
    script: Script | None = None
    elsewhere: bool = False

    @property
    def name(self) -> str:
        """What the command is called, without folders."""
        return posixpath.basename(self.arguments[0])

    def fails_with(self, command: ScriptCommand) -> bool:
        """Tell whether the script certainly fails if one of its commands does."""
        return command.decides and (self._ends_at_failure or command is self.commands[-1])

    @cached_property
    def _ends_at_failure(self) -> bool:
        return any(
            command.words[0] == "set" and any(map(_ENDS_AT_FAILURE.fullmatch, command.words[1:]))
            for command in self.commands
        )


def stages(
    rootfs: Rootfs,
    arguments: tuple[str, ...],
    working_directory: str,
    environment: Mapping[str, str],
    uid: int,
) -> tuple[Stage, ...]:
    """Return the steps of a command line, the first one first: each command once for each user."""
    found: dict[tuple[tuple[str, ...], int], Stage] = {}
    pending: list[_Step] = [(arguments, uid, True, None)]
    while pending and len(found) < _MAX_STAGES:
        words, who, certain, before = pending.pop(0)
        if not words or not words[0] or (words, who) in found:
            continue
        program = find_program(rootfs, words[0], working_directory, environment)
        if program.executable is None and before is not None and _is_busybox(before):
            continue  # it may be one of its applets
        script = script_of(program, words, rootfs, working_directory)
        commands = _commands(script, words[0], who, environment) if script else ()
        stage = Stage(
            arguments=words, program=program, uid=who, certain=certain, commands=commands, script=script,
            elsewhere=before is not None and (before.elsewhere or _sets_paths(before)),
        )  # fmt: skip
        found[words, who] = stage
        pending += [(*step, stage) for step in _following(stage)]
    return tuple(found.values())


def _commands(
    script: Script, name: str, uid: int, environment: Mapping[str, str]
) -> tuple[ScriptCommand, ...]:
    """Return what a script comes to; launchers that drop privileges, and scripts, may set another HOME."""
    is_kept = uid != _DROPPED and not _SETS_HOME.search(script.text)
    home = environment.get("HOME", "") if is_kept else ""
    return script_commands(script.text, Known(name, script.parameters, uid, home))


_Step = tuple[tuple[str, ...], int, bool, Stage | None]
"""Words, user, whether it is certain, and the step before it."""


def _is_busybox(stage: Stage) -> bool:
    """Tell whether it is a script of busybox's shell."""
    executable = stage.program.executable
    is_busybox = executable is not None and posixpath.basename(executable.path) == "busybox"
    return stage.script is not None and is_busybox


def _sets_paths(stage: Stage) -> bool:
    """Tell whether a script, or a launcher such as env, changes where what it starts is looked for."""
    if stage.script is not None:
        return _SETS_PATHS.search(stage.script.text) is not None
    return any(map(_SETS_PATHS.match, stage.arguments[1:]))


def _following(stage: Stage) -> Iterator[tuple[tuple[str, ...], int, bool]]:
    launcher = LAUNCHERS.get(stage.name)
    if launcher is not None and not stage.program.scripts:
        uid = _DROPPED if launcher.drops else stage.uid
        yield command_behind(launcher, stage.arguments[1:]), uid, stage.certain
    if stage.script is None:
        return
    if not stage.commands:  # it cannot be read: mostly such scripts end with exec "$@"
        yield stage.script.parameters, stage.uid, False
    last = stage.commands[-1:]
    written: set[str] = set()
    for command in stage.commands:
        name = posixpath.basename(command.words[0])
        if command.words[0] in written:
            continue  # the image does not have it
        written.update(command.writes)
        if name not in BUILTINS and (command.replaces or name in LAUNCHERS or command in last):
            # What is only tried, as the condition of an if, may fail.
            happens = command.certain if command.replaces else command.decides
            yield command.words, stage.uid, stage.certain and happens
