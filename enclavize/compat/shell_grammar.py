"""The grammar of shells, as far as one must know it to tell what a script starts.

A reader for POSIX.1-2017, XCU 2.10 ("Shell Grammar"), with what bash adds to words. Nothing is expanded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.compat.shell_words import ASSIGNMENT, REDIRECTIONS, NotUnderstoodError, Word, tokens

if TYPE_CHECKING:
    from enclavize.compat.shell_words import Token


@dataclass(frozen=True, kw_only=True)
class Simple:
    """``words`` are without assignments and redirections, with what stands between ``[[`` and ``]]``.

    ``written`` are the files that redirections open for writing. ``names_pipe``: a word or a redirection is
    bash's ``<(...)``.
    """

    words: tuple[Word, ...]
    forks: bool
    negated: bool = False
    written: tuple[Word, ...] = ()
    names_pipe: bool = False


@dataclass(frozen=True, kw_only=True)
class Forking:
    """A pipeline, a subshell or a command in the background."""

    what: str


@dataclass(frozen=True, kw_only=True)
class CommandList:
    """Commands one after the other. Of each, only the first of ``&&`` and ``||`` certainly runs.

    ``operators`` are those between the commands of each item.
    """

    items: tuple[tuple[Command, ...], ...]
    operators: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Branches:
    """``condition`` runs; then one of ``branches``, or none if they are not ``complete``."""

    condition: CommandList | None
    branches: tuple[CommandList, ...]
    complete: bool
    forks: bool = False


@dataclass(frozen=True, kw_only=True)
class Function:
    name: str
    body: Command


Command = Simple | Forking | CommandList | Branches | Function


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
_WRITING = frozenset({">", ">>", ">|", "<>", "&>", "&>>"})


def parse(text: str) -> CommandList:
    """Return the commands of a script. Raises NotUnderstoodError, or RecursionError."""
    return _Parser(tokens(text)).script()


class _Parser:
    """Recursive descent; reserved words count only where a command may begin."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def script(self) -> CommandList:
        found = self._list(())
        if self._at < len(self._tokens):
            raise NotUnderstoodError
        return found

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _reserved(self) -> str:
        token = self._peek()
        return (token.literal or "") if isinstance(token, Word) and token.bare else ""

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted and self._reserved() != wanted:
            raise NotUnderstoodError
        self._at += 1

    def _newlines(self) -> None:
        while self._peek() == "\n":
            self._at += 1

    def _list(self, ends: tuple[str, ...]) -> CommandList:
        items: list[tuple[Command, ...]] = []
        operators: list[tuple[str, ...]] = []
        while True:
            while self._peek() in ("\n", ";"):
                self._at += 1
            token = self._peek()
            if token is None or token in ends or (ends and self._reserved() in ends):
                return CommandList(items=tuple(items), operators=tuple(operators))
            item, between = self._and_or()
            if self._peek() == "&":
                self._at += 1
                item, between = (Forking(what="a command in the background"),), ()
            items.append(item)
            operators.append(between)
            if self._peek() not in ("\n", ";", None, *ends) and self._tokens[self._at - 1] != "&":
                raise NotUnderstoodError

    def _and_or(self) -> tuple[tuple[Command, ...], tuple[str, ...]]:
        commands, operators = [self._pipeline()], []
        while (operator := self._peek()) in ("&&", "||"):
            self._at += 1
            self._newlines()
            commands.append(self._pipeline())
            operators.append(str(operator))
        return tuple(commands), tuple(operators)

    def _pipeline(self) -> Command:
        negated = False
        while (word := self._reserved()) in ("!", "time"):
            negated ^= word == "!"
            self._at += 1
        command = self._command()
        if negated and isinstance(command, Simple):
            command = replace(command, negated=True)
        while self._peek() in ("|", "|&"):
            self._at += 1
            self._newlines()
            self._command()
            command = Forking(what="a pipeline")
        return command

    def _command(self) -> Command:
        command = self._compound()
        if command is None:
            return self._simple()
        names_pipe = False
        while self._peek() in REDIRECTIONS or self._is_number_of_redirection():
            names_pipe |= self._redirection()[1].is_process
        if names_pipe:  # it is opened before anything else is done
            opened = Simple(words=(), forks=True, names_pipe=True)
            return CommandList(items=((opened,), (command,)), operators=((), ()))
        return command

    def _compound(self) -> Command | None:
        if self._peek() == "(":
            self._at += 1
            self._list((")",))
            self._take(")")
            return Forking(what="a subshell")
        match self._reserved():
            case "{":
                self._at += 1
                inside = self._list(("}",))
                self._take("}")
                return inside
            case "if":
                self._at += 1
                return self._if()
            case "while" | "until" as word:
                self._at += 1
                always = word == "while" and self._always()
                condition = self._list(("do",))
                return Branches(condition=condition, branches=(self._do(),), complete=always)
            case "for" | "select":
                self._at += 1
                return self._for()
            case "case":
                self._at += 1
                return self._case()
            case "function":
                self._at += 1
                return self._function(parentheses=False)
            case "then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}" | "in":
                raise NotUnderstoodError
            case _:
                pass
        following = self._tokens[self._at + 1 : self._at + 3]
        return self._function(parentheses=True) if following == ["(", ")"] else None

    def _if(self) -> Branches:
        condition = self._list(("then",))
        self._take("then")
        branches = [self._list(("elif", "else", "fi"))]
        complete = False
        if self._reserved() == "elif":
            self._at += 1
            inner = self._if()
            otherwise = CommandList(items=((inner,),), operators=((),))
            return Branches(condition=condition, branches=(*branches, otherwise), complete=True)
        if self._reserved() == "else":
            self._at += 1
            branches.append(self._list(("fi",)))
            complete = True
        self._take("fi")
        return Branches(condition=condition, branches=tuple(branches), complete=complete)

    def _always(self) -> bool:
        """Tell whether the condition that begins here is ``true`` or ``:`` alone."""
        following = self._tokens[self._at + 1 : self._at + 2]
        return self._reserved() in ("true", ":") and following[:1] in ([";"], ["\n"])

    def _do(self) -> CommandList:
        self._take("do")
        body = self._list(("done",))
        self._take("done")
        return body

    def _for(self) -> Branches:
        if not isinstance(self._peek(), Word):
            raise NotUnderstoodError
        self._at += 1
        self._newlines()
        forks = False
        if self._reserved() == "in":
            self._at += 1
            while isinstance(word := self._peek(), Word):
                forks |= word.substitutes
                self._at += 1
        while self._peek() in (";", "\n"):
            self._at += 1
        return Branches(condition=None, branches=(self._do(),), complete=False, forks=forks)

    def _case(self) -> Branches:
        word = self._peek()
        if not isinstance(word, Word):
            raise NotUnderstoodError
        self._at += 1
        self._newlines()
        self._take("in")
        self._newlines()
        branches, complete = [], False
        while self._reserved() != "esac":
            if self._peek() == "(":
                self._at += 1
            while self._peek() != ")":
                pattern = self._peek()
                if pattern is None:
                    raise NotUnderstoodError
                complete |= isinstance(pattern, Word) and pattern.literal == "*" and pattern.bare
                self._at += 1
            self._take(")")
            branches.append(self._list((";;", ";&", ";;&", "esac")))
            if self._peek() in (";&", ";;&"):
                raise NotUnderstoodError
            if self._peek() == ";;":
                self._at += 1
            self._newlines()
        self._take("esac")
        return Branches(condition=None, branches=tuple(branches), complete=complete, forks=word.substitutes)

    def _function(self, *, parentheses: bool) -> Function:
        name = self._reserved()
        if not _NAME.fullmatch(name):
            raise NotUnderstoodError
        self._at += 1
        if parentheses or self._peek() == "(":
            self._take("(")
            self._take(")")
        self._newlines()
        return Function(name=name, body=self._command())

    def _simple(self) -> Simple:
        words: list[Word] = []
        written: list[Word] = []
        forks = names_pipe = False
        start = self._at
        while True:
            token = self._peek()
            if token in REDIRECTIONS or self._is_number_of_redirection():
                operator, target = self._redirection()
                forks |= target.substitutes
                names_pipe |= target.is_process
                written += [target] if operator in _WRITING else []
            elif isinstance(token, Word):
                self._at += 1
                forks |= token.substitutes
                names_pipe |= token.is_process
                if words or not ASSIGNMENT.match(token.literal or ""):
                    words.append(token)
                if len(words) == 1 and token.literal == "[[":
                    words += (condition := self._condition())
                    forks |= any(word.substitutes for word in condition)
            else:
                break
        if self._at == start:
            raise NotUnderstoodError
        return Simple(words=tuple(words), forks=forks, written=tuple(written), names_pipe=names_pipe)

    def _condition(self) -> list[Word]:
        """Return what stands between ``[[`` and ``]]``, with that; operators as words of their text."""
        words: list[Word] = []
        while True:
            match self._peek():
                case None:
                    raise NotUnderstoodError
                case Word() as word:
                    words.append(word)
                case operator:
                    words.append(Word(literal=operator, bare=True, substitutes=False, raw=operator))
            self._at += 1
            if words[-1].literal == "]]":
                return words

    def _is_number_of_redirection(self) -> bool:
        """Tell whether here is the 2 of ``2>&1``."""
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
        return self._reserved().isdigit() and following in REDIRECTIONS

    def _redirection(self) -> tuple[Token | None, Word]:
        """Pass over a redirection; return its operator and its target."""
        if self._is_number_of_redirection():
            self._at += 1
        operator = self._peek()
        self._at += 1
        target = self._peek()
        if not isinstance(target, Word):
            raise NotUnderstoodError
        self._at += 1
        return operator, target
