"""Which commands a script comes to: certainly, or on some of its ways.

The script is read in the order in which it runs, with its arguments and its user (``shell_conditions.py``):
``if [ "$(id -u)" = 0 ]; then exec gosu redis "$0" "$@"; fi`` leads root to gosu, and nobody else.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from enclavize.compat.shell import MAX_SCRIPT_SIZE
from enclavize.compat.shell_conditions import ALL_ARGUMENTS, MAX_WORDS, outcome, values_of
from enclavize.compat.shell_grammar import Branches, CommandList, Forking, Function, Simple, parse
from enclavize.compat.shell_words import NotUnderstoodError

if TYPE_CHECKING:
    from enclavize.compat.shell_conditions import Known
    from enclavize.compat.shell_grammar import Command

_ALL_OPERANDS = frozenset({"mkdir", "tee"})
_LAST_OPERAND = frozenset({"cp", "install", "ln", "mv"})
"""Commands that write to what they are given: to all of it, or to the last one (POSIX.1-2017, XCU 4)."""

_MAX_DEPTH = 40
_MAX_STEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class ScriptCommand:
    """``words`` are as far as they are known; ``replaces``: the shell becomes it (``exec``).

    ``written`` are files that its redirections open for writing, as far as they are known. A redirection
    without a command is one of ``:``, which does as much.

    ``names_pipe``: a word or a redirection of it is bash's ``<(...)``.

    ``certain``: every way through the script leads there. ``decides``: it is certain, no condition and in no
    list of ``&&`` and ``||``, so that a script under ``set -e``, or one that ends with it, fails if it fails.
    """

    words: tuple[str, ...]
    certain: bool
    replaces: bool
    decides: bool = False
    written: tuple[str, ...] = ()
    names_pipe: bool = False

    @property
    def operands(self) -> tuple[str, ...]:
        """Its words behind the name, without options."""
        return tuple(word for word in self.words[1:] if not word.startswith("-"))

    @property
    def writes(self) -> tuple[str, ...]:
        """The absolute paths that it writes to."""
        name = posixpath.basename(self.words[0])
        given = self.operands if name in _ALL_OPERANDS else ()
        if name in _LAST_OPERAND:
            given = self.operands[-1:]
        return tuple(path for path in (*given, *self.written) if path.startswith("/"))


def script_commands(text: str, known: Known) -> tuple[ScriptCommand, ...]:
    """Return the simple commands that a script comes to, in order; none of a text that is not understood."""
    if len(text) > MAX_SCRIPT_SIZE:
        return ()
    walk = _Walk(known)
    try:
        walk.run(parse(text), certain=True)
    except (NotUnderstoodError, RecursionError):
        return ()
    return tuple(walk.found)


@dataclass
class _Walk:
    """``may_have_ended``: one of the commands so far may have been the last, or the last of a function."""

    known: Known
    found: list[ScriptCommand] = field(default_factory=list)
    functions: dict[str, Command] = field(default_factory=dict)
    ended: bool = False
    may_have_ended: bool = False
    may_have_returned: bool = False
    is_condition: bool = False
    depth: int = 0
    steps: int = 0
    expanded: int = 0

    def run(self, command: Command, *, certain: bool) -> bool | None:
        """Go through a command; return whether it succeeds, None if that is not known."""
        self.depth += 1
        self.steps += 1
        if self.depth > _MAX_DEPTH or self.steps > _MAX_STEPS:
            raise NotUnderstoodError
        try:
            match command:
                case Simple():
                    result = self._simple(command, certain=certain)
                    return result if result is None else result ^ command.negated
                case CommandList():
                    return self._list(command, certain=certain)
                case Branches():
                    self._branches(command, certain=certain)
                case Function():
                    self.functions[command.name] = command.body
                case Forking():
                    pass
            return None
        finally:
            self.depth -= 1

    def _list(self, commands: CommandList, *, certain: bool) -> bool | None:
        result: bool | None = None
        for item, operators in zip(commands.items, commands.operators, strict=True):
            go = self._tested if operators else self.run
            result = go(item[0], certain=certain)
            for operator, command in zip(operators, item[1:], strict=True):
                wanted = operator == "&&"
                if self.ended or result is (not wanted):
                    continue
                if result is None:
                    following, ends = self._perhaps(command)
                    self.may_have_ended |= ends
                else:
                    following = self.run(command, certain=certain)
                result = following if result is not None else None
            if self.ended:
                return result
        return result

    def _branches(self, command: Branches, *, certain: bool) -> None:
        result = None if command.condition is None else self._tested(command.condition, certain=certain)
        if self.ended:
            return
        if result is not None and len(command.branches) <= 2:
            for branch in command.branches[:1] if result else command.branches[1:]:
                self.run(branch, certain=certain)
            return
        before = self.known
        ends: list[bool] = []
        after = before
        for branch in command.branches:
            self.known = before
            ends.append(self._perhaps(branch)[1])
            after = after if self.known == before else replace(before, arguments=None)
        self.known = after
        self.ended = command.complete and bool(ends) and all(ends)
        self.may_have_ended |= any(ends)

    def _tested(self, command: Command, *, certain: bool) -> bool | None:
        """Go through a command whose failure ends no script."""
        before, self.is_condition = self.is_condition, True
        result = self.run(command, certain=certain)
        self.is_condition = before
        return result

    def _perhaps(self, command: Command) -> tuple[bool | None, bool]:
        """Go through what may run or not; return whether it succeeds, and whether the script ends with it."""
        may_have_ended, self.may_have_ended = self.may_have_ended, False
        result = self.run(command, certain=False)
        ends, self.ended = self.ended, False
        self.may_have_ended |= may_have_ended
        return result, ends

    def _simple(self, command: Simple, *, certain: bool) -> bool | None:
        written = tuple(path for path in values_of(command.written, self.known) if path is not None)
        if not command.words:
            if written or command.names_pipe:
                self._find((":",), command, written, certain=certain)
            return None
        values = values_of(command.words, self.known)
        self.expanded += len(values)
        if self.expanded > MAX_WORDS:
            raise NotUnderstoodError
        name = values[0] if values else None
        if name in self.functions:
            return self._call(command, name, certain=certain)
        if name in ("set", "shift"):
            self._change_arguments(name, values[1:], certain=certain)
        if name == "exit":
            self._end()
            return None
        if name == "return":
            self.may_have_returned = True
            return None
        replaces = name == "exec"
        rest = values[1:] if replaces else values
        if replaces and not rest and (written or command.names_pipe):
            self._find((":",), command, written, certain=certain)
        if rest and rest[0]:
            end = rest.index(None) if None in rest else len(rest)
            words = tuple(value for value in rest[:end] if value is not None)
            self._find(words, command, written, certain=certain, replaces=replaces)
        if replaces and rest:
            self._end()
        return outcome(command.words, self.known)

    def _find(
        self,
        words: tuple[str, ...],
        command: Simple,
        written: tuple[str, ...],
        *,
        certain: bool,
        replaces: bool = False,
    ) -> None:
        is_certain = certain and not (self.may_have_ended or self.may_have_returned)
        decides = is_certain and not (self.is_condition or command.negated)
        self.found.append(
            ScriptCommand(
                words=words,
                certain=is_certain,
                replaces=replaces,
                decides=decides,
                written=written,
                names_pipe=command.names_pipe,
            )
        )

    def _call(self, command: Simple, name: str | None, *, certain: bool) -> bool | None:
        before, returned = self.known, self.may_have_returned
        if [word.raw for word in command.words[1:]] not in [[text] for text in ALL_ARGUMENTS]:
            self.known = replace(before, arguments=None)
        self.run(self.functions[name or ""], certain=certain)
        self.known, self.may_have_returned = before, returned
        return None

    def _change_arguments(self, name: str, values: list[str | None], *, certain: bool) -> None:
        before = self.known.arguments
        if name == "set" and "--" not in values:
            return
        if not certain or before is None:
            self.known = replace(self.known, arguments=None)
        elif name == "shift":
            self.known = replace(self.known, arguments=_shifted(before, values))
        else:
            new = values[values.index("--") + 1 :]
            complete = tuple(value for value in new if value is not None)
            self.known = replace(self.known, arguments=complete if len(complete) == len(new) else None)

    def _end(self) -> None:
        if not (self.may_have_ended or self.may_have_returned):
            self.ended = True
        else:
            self.may_have_ended = True


def _shifted(arguments: tuple[str, ...], values: list[str | None]) -> tuple[str, ...] | None:
    """Return what ``shift``, or ``shift N``, leaves."""
    count = values[0] if values else "1"
    return arguments[int(count) :] if count is not None and count.isdecimal() and len(count) < 4 else None
