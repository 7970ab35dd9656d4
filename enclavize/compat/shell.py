"""What a shell command certainly does: whether it cannot come to its end without a new process.

A command whose name has an expansion may be anything, and so may what follows ``eval`` or ``.``. What is not
understood gives no answer. Sources: POSIX.1-2017, XCU chapter 2; dash(1), bash(1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from enclavize.compat.shell_grammar import (
    Branches,
    CommandList,
    Forking,
    Function,
    Simple,
    parse,
)
from enclavize.compat.shell_words import NotUnderstoodError

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.compat.shell_grammar import Command

MAX_SCRIPT_SIZE = 16 << 10
"""Characters; longer scripts are not looked at."""

_MAX_DEPTH = 40
_MAX_STEPS = 10_000

BUILTINS = frozenset(
    {
        ":", "[", "[[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "chdir", "command",
        "compgen", "complete", "continue", "declare", "dirs", "disown", "echo", "enable", "eval", "exec",
        "exit", "export", "false", "fc", "fg", "getopts", "hash", "help", "history", "jobs", "kill", "let",
        "local", "logout", "mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly",
        "return", "set", "shift", "shopt", "source", "suspend", "test", "times", "trap", "true", "type",
        "typeset", "ulimit", "umask", "unalias", "unset", "wait", ".",
    }
)  # fmt: skip
"""What bash, dash or busybox's ash do themselves."""

_UNKNOWN_BUILTINS = frozenset(
    {"eval", ".", "source", "alias", "builtin", "return", "break", "continue", "enable"}
)
"""After these, what runs cannot be told by reading on."""


class Kind(StrEnum):
    """What a command needs. ``LAST``: it is the last one, and some shells replace themselves by it."""

    FORK = "fork"
    COMMAND = "command"
    LAST = "last command"
    EXEC = "exec"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A new process that the script needs, and why: the name of the command, or a construct of the shell."""

    kind: Kind
    what: str


def _none_served(_start: Start) -> bool:
    return False


def first_start(
    text: str,
    finds: Callable[[str], bool],
    *,
    served: Callable[[Start], bool] = _none_served,
    parameters: bool = False,
    replaces: bool = True,
) -> Start | None:
    """Return what a script cannot do without: every way to its end leads through it. None: cannot be told.

    ``served`` tells what the LibOS is able to start: the script goes on behind it.
    ``finds`` tells whether a command without a slash is in PATH; one that is not makes no process.
    ``parameters`` tells whether the script is given any, so that ``exec "$@"`` is more than nothing.
    ``replaces`` tells whether a shell may replace itself by the last command: it may behind ``-c`` only.
    """
    if len(text) > MAX_SCRIPT_SIZE:
        return None
    try:
        script = parse(text)
        return _Walk(finds, served, parameters).run(script, last=replaces).start
    except (NotUnderstoodError, RecursionError):
        return None


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """``start`` certainly happens, or the script ``may_end`` before what follows, or neither."""

    start: Start | None = None
    may_end: bool = False


_NOTHING = _Outcome()
_OPEN = _Outcome(may_end=True)


@dataclass
class _Walk:
    finds: Callable[[str], bool]
    served: Callable[[Start], bool]
    parameters: bool
    functions: dict[str, Command] = field(default_factory=dict)
    depth: int = 0
    steps: int = 0

    def run(self, command: Command, *, last: bool) -> _Outcome:
        self.depth += 1
        self.steps += 1
        if self.depth > _MAX_DEPTH or self.steps > _MAX_STEPS:
            raise NotUnderstoodError
        try:
            match command:
                case Simple():
                    return self._simple(command, last=last)
                case Forking():
                    return self._starts(Kind.FORK, command.what)
                case CommandList():
                    return self._list(command, last=last)
                case Branches():
                    return self._branches(command)
                case Function():
                    self.functions[command.name] = command.body
                    return _NOTHING
        finally:
            self.depth -= 1

    def _list(self, commands: CommandList, *, last: bool) -> _Outcome:
        for position, (first, *others) in enumerate(commands.items):
            at_end = last and position == len(commands.items) - 1 and not others
            outcome = self.run(first, last=at_end)
            if outcome.start or outcome.may_end:
                return outcome
            # Those behind && and || may run or not: what matters is whether they can end the script.
            if any(self.run(other, last=False).may_end for other in others):
                return _OPEN
        return _NOTHING

    def _branches(self, command: Branches) -> _Outcome:
        if command.forks and (outcome := self._starts(Kind.FORK, "a command substitution")).start:
            return outcome
        if command.condition is not None:
            outcome = self.run(command.condition, last=False)
            if outcome.start or outcome.may_end:
                return outcome
        outcomes = [self.run(branch, last=False) for branch in command.branches]
        if any(outcome.may_end for outcome in outcomes):
            return _OPEN
        starts = [outcome.start for outcome in outcomes if outcome.start]
        if command.complete and starts and len(starts) == len(outcomes):
            return _Outcome(start=starts[0])
        return _NOTHING

    def _simple(self, command: Simple, *, last: bool) -> _Outcome:
        if command.forks and (outcome := self._starts(Kind.FORK, "a command substitution")).start:
            return outcome
        if not command.words:
            return _NOTHING
        name, *arguments = (word.literal for word in command.words)
        if name is None or (name and name[0] == "~"):
            return _OPEN
        if name in self.functions:
            return self.run(self.functions[name], last=False)
        if name == "exec":
            return self._exec(arguments)
        if name == "exit":
            # A script that says itself that it failed did not run.
            failed = bool(arguments) and arguments[0] not in (None, "0")
            return _NOTHING if failed else _OPEN
        if name == "command":
            return _NOTHING if arguments[:1] in (["-v"], ["-V"]) else _OPEN
        if name in _UNKNOWN_BUILTINS:
            return _OPEN
        if name in BUILTINS or not ("/" in name or self.finds(name)):
            return _NOTHING
        return self._starts(Kind.LAST if last else Kind.COMMAND, name)

    def _exec(self, arguments: list[str | None]) -> _Outcome:
        if not arguments:
            return _NOTHING  # redirections alone
        if not self.parameters and not any(arguments):
            return _OPEN  # what expands to nothing replaces nothing
        return self._starts(Kind.EXEC, f"exec {arguments[0] or '...'}")

    def _starts(self, kind: Kind, what: str) -> _Outcome:
        start = Start(kind=kind, what=what)
        if not self.served(start):
            return _Outcome(start=start)
        return _OPEN if kind is Kind.EXEC else _NOTHING
