"""The words and operators of a shell script. Nothing is expanded.

Source: POSIX.1-2017, XCU 2.2 ("Quoting") to 2.7 ("Redirection"), with what bash adds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class NotUnderstoodError(Exception):
    """The text is no script, or one in a dialect that is not known here."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """``literal`` is the text without quotes, None if it has expansions; ``bare`` whether it was unquoted.

    ``raw`` is the text as it stands in the script.
    """

    literal: str | None
    bare: bool
    substitutes: bool
    raw: str = ""

    @property
    def is_process(self) -> bool:
        """Tell whether it is bash's ``<(...)`` or ``>(...)``, which stands for the name of a pipe."""
        return self.literal is None and self.raw.startswith(("<(", ">("))


_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|<<<|<<-?|>>|<&|>&|<>|>\||&>>?|\|&|[;&|()<>\n]")
REDIRECTIONS = ("<", ">", ">>", "<&", ">&", "<>", ">|", "&>", "&>>", "<<", "<<-", "<<<")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])?\+?=")

Token = str | Word
"""An operator, or a word."""


def tokens(text: str) -> list[Token]:
    """Split a script into operators and words; here-documents and comments are left out."""
    found: list[Token] = []
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
            start, at = at, _closing(text, at + 2)
            found.append(Word(literal=None, bare=False, substitutes=True, raw=text[start:at]))
        elif text.startswith("((", at):
            raise NotUnderstoodError  # arithmetic, or a subshell in a subshell
        elif match := _OPERATOR.match(text, at):
            at = match.end()
            found.append(match[0])
            if match[0] == "\n":
                for mark, dashed in documents:
                    at = _after_document(text, at, mark, dashed=dashed)
                documents.clear()
        else:
            word, at = _word(text, at)
            if found and found[-1] in ("<<", "<<-"):
                if word.literal is None:
                    raise NotUnderstoodError
                documents.append((word.literal, found[-1] == "<<-"))
            found.append(word)
    return found


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
    assignment = ASSIGNMENT.match(text[start:at])
    if assignment and text.startswith("(", at) and text[at - 1] == "=":  # an array
        end = _closing(text, at + 1)
        substitutes |= any(mark in text[at:end] for mark in ("$(", "`"))
        at = end
    word = Word(
        literal=assignment[0] if assignment else None if expands else literal,
        bare=not quoted,
        substitutes=substitutes,
        raw=text[start:at],
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
