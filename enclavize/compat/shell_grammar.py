"""The grammar of shells, as far as one must know it to tell what a script starts.

A reader for POSIX.1-2017, XCU 2.10 ("Shell Grammar"), with what bash adds to words. Nothing is expanded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class NotUnderstoodError(Exception):
    """The text is no script, or one in a dialect that is not known here."""


@dataclass(frozen=True, kw_only=True)
class Simple:
    words: tuple[Word, ...]
    forks: bool


@dataclass(frozen=True, kw_only=True)
class Forking:
    """A pipeline, a subshell or a command in the background."""

    what: str


@dataclass(frozen=True, kw_only=True)
class CommandList:
    """Commands one after the other. Of each, only the first of ``&&`` and ``||`` certainly runs."""

    items: tuple[tuple[Command, ...], ...]


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


@dataclass(frozen=True, kw_only=True)
class Word:
    """``literal`` is the text without quotes, None if it has expansions; ``bare`` whether it was unquoted."""

    literal: str | None
    bare: bool
    substitutes: bool


_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|<<<|<<-?|>>|<&|>&|<>|>\||&>>?|\|&|[;&|()<>\n]")
_REDIRECTIONS = ("<", ">", ">>", "<&", ">&", "<>", ">|", "&>", "&>>", "<<", "<<-", "<<<")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])?\+?=")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")


def parse(text: str) -> CommandList:
    """Return the commands of a script. Raises NotUnderstoodError, or RecursionError."""
    return _Parser(_tokens(text)).script()


_Token = str | Word
"""An operator, or a word."""


def _tokens(text: str) -> list[_Token]:
    """Split a script into operators and words; here-documents and comments are left out."""
    tokens: list[_Token] = []
    documents: list[tuple[str, bool]] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character in " \t\r":
            at += 1
        elif text.startswith("\\\n", at):
            at += 2
        elif character == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif text.startswith(("<(", ">("), at):
            at = _closing(text, at + 2)
            tokens.append(Word(literal=None, bare=False, substitutes=True))
        elif text.startswith("((", at):
            raise NotUnderstoodError  # arithmetic, or a subshell in a subshell
        elif match := _OPERATOR.match(text, at):
            at = match.end()
            tokens.append(match[0])
            if match[0] == "\n":
                for mark, dashed in documents:
                    at = _after_document(text, at, mark, dashed=dashed)
                documents.clear()
        else:
            word, at = _word(text, at)
            if tokens and tokens[-1] in ("<<", "<<-"):
                if word.literal is None:
                    raise NotUnderstoodError
                documents.append((word.literal, tokens[-1] == "<<-"))
            tokens.append(word)
    return tokens


def _after_document(text: str, at: int, mark: str, *, dashed: bool) -> int:
    """Return where the script goes on behind a here-document."""
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end]
        at = end + 1
        if (line.lstrip("\t") if dashed else line) == mark:
            return at
    raise NotUnderstoodError


def _word(text: str, at: int) -> tuple[Word, int]:
    start, literal = at, ""
    expands = substitutes = quoted = False
    while at < len(text):
        character = text[at]
        if character in " \t\r\n;&|()<>":
            break
        if character == "\\":
            literal += text[at + 1 : at + 2]
            quoted, at = True, at + 2
        elif character == "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise NotUnderstoodError
            literal += text[at + 1 : end]
            quoted, at = True, end + 1
        elif character == '"':
            end, found_expansion, found_substitution = _double_quoted(text, at + 1)
            literal += text[at + 1 : end - 1]
            quoted, at = True, end
            expands |= found_expansion
            substitutes |= found_substitution
        elif character in "$`":
            at, found_substitution = _expansion(text, at)
            expands, substitutes = True, substitutes | found_substitution
        else:
            expands |= character in "*?[{" and at > start and literal != "["
            literal += character
            at += 1
    if at == start:
        raise NotUnderstoodError
    assignment = _ASSIGNMENT.match(text[start:at])
    if assignment and text.startswith("(", at) and text[at - 1] == "=":  # an array
        end = _closing(text, at + 1)
        substitutes |= any(mark in text[at:end] for mark in ("$(", "`"))
        at = end
    word = Word(
        literal=assignment[0] if assignment else None if expands else literal,
        bare=not quoted,
        substitutes=substitutes,
    )
    return word, at


def _double_quoted(text: str, at: int) -> tuple[int, bool, bool]:
    """Return where the text behind the closing quote begins, and whether it expands and substitutes."""
    expands = substitutes = False
    while at < len(text):
        match text[at]:
            case '"':
                return at + 1, expands, substitutes
            case "\\":
                expands, at = True, at + 2
            case "$" | "`":
                at, found = _expansion(text, at)
                expands, substitutes = True, substitutes | found
            case _:
                at += 1
    raise NotUnderstoodError


def _expansion(text: str, at: int) -> tuple[int, bool]:
    """Return where the text behind ``$...`` or a backquoted command goes on, and whether it is a command."""
    if text[at] == "`":
        end = text.find("`", at + 1)
        if end < 0:
            raise NotUnderstoodError
        return end + 1, True
    if text.startswith(("$((", "$(<"), at):  # bash reads a file itself
        return _closing(text, at + 2), False
    if text.startswith("$(", at):
        return _closing(text, at + 2), True
    if text.startswith("${", at):
        # What stands behind :- and the like may not be expanded at all.
        return _closing(text, at + 2, "{", "}"), False
    match = re.compile(r"\$(\w+|[@*#?$!-])?").match(text, at)
    return (match.end() if match else at + 1), False


def _closing(text: str, at: int, opening: str = "(", closing: str = ")") -> int:
    """Return the place behind the bracket that closes what was opened before ``at``."""
    depth = 1
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 2
            continue
        if character == "'":
            at = text.find("'", at + 1) + 1
            if at == 0:
                break
            continue
        if character == '"':
            at = _double_quoted(text, at + 1)[0]
            continue
        depth += (character == opening) - (character == closing)
        at += 1
        if depth == 0:
            return at
    raise NotUnderstoodError


class _Parser:
    """Recursive descent; reserved words count only where a command may begin."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def script(self) -> CommandList:
        found = self._list(())
        if self._at < len(self._tokens):
            raise NotUnderstoodError
        return found

    def _peek(self) -> _Token | None:
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
        while True:
            while self._peek() in ("\n", ";"):
                self._at += 1
            token = self._peek()
            if token is None or token in ends or (ends and self._reserved() in ends):
                return CommandList(items=tuple(items))
            item = self._and_or()
            if self._peek() == "&":
                self._at += 1
                item = (Forking(what="a command in the background"),)
            items.append(item)
            if self._peek() not in ("\n", ";", None, *ends) and self._tokens[self._at - 1] != "&":
                raise NotUnderstoodError

    def _and_or(self) -> tuple[Command, ...]:
        commands = [self._pipeline()]
        while self._peek() in ("&&", "||"):
            self._at += 1
            self._newlines()
            commands.append(self._pipeline())
        return tuple(commands)

    def _pipeline(self) -> Command:
        while self._reserved() in ("!", "time"):
            self._at += 1
        command = self._command()
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
        while self._peek() in _REDIRECTIONS or self._is_number_of_redirection():
            self._redirection()
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
            case "while" | "until":
                self._at += 1
                condition = self._list(("do",))
                return Branches(condition=condition, branches=(self._do(),), complete=False)
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
            return Branches(
                condition=condition, branches=(*branches, CommandList(items=((inner,),))), complete=True
            )
        if self._reserved() == "else":
            self._at += 1
            branches.append(self._list(("fi",)))
            complete = True
        self._take("fi")
        return Branches(condition=condition, branches=tuple(branches), complete=complete)

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
        forks = False
        start = self._at
        while True:
            token = self._peek()
            if token in _REDIRECTIONS or self._is_number_of_redirection():
                forks |= self._redirection()
            elif isinstance(token, Word):
                self._at += 1
                forks |= token.substitutes
                if words or not _ASSIGNMENT.match(token.literal or ""):
                    words.append(token)
                if len(words) == 1 and token.literal == "[[":
                    forks |= self._condition()
            else:
                break
        if self._at == start:
            raise NotUnderstoodError
        return Simple(words=tuple(words), forks=forks)

    def _condition(self) -> bool:
        """Pass over what stands between ``[[`` and ``]]``; tell whether it has a command substitution."""
        forks = False
        while True:
            token = self._peek()
            if token is None:
                raise NotUnderstoodError
            self._at += 1
            if isinstance(token, Word):
                forks |= token.substitutes
                if token.literal == "]]":
                    return forks

    def _is_number_of_redirection(self) -> bool:
        """Tell whether here is the 2 of ``2>&1``."""
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
        return self._reserved().isdigit() and following in _REDIRECTIONS

    def _redirection(self) -> bool:
        """Pass over a redirection; tell whether its target is a command substitution."""
        if self._is_number_of_redirection():
            self._at += 1
        self._at += 1
        target = self._peek()
        if not isinstance(target, Word):
            raise NotUnderstoodError
        self._at += 1
        return target.substitutes
