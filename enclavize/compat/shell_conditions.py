"""What a script's words and conditions come to, as far as that is known before it runs.

Known are the arguments that the image gives, and the user: ``"$1"``, ``"${1#-}"``, ``$(id -u)``. A condition
is true, false, or None where it cannot be told. Sources: POSIX.1-2017, XCU 2.6.2 ("Parameter Expansion") and
``test``; bash(1), "Conditional Expressions".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.compat.shell_words import NotUnderstoodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from enclavize.compat.shell_words import Word

MAX_WORDS = 50_000
"""Words of one command, and of all commands of a script: ``set -- "$@" "$@"`` doubles them each time."""

ALL_ARGUMENTS = ('"$@"', "$@", '"${@}"', "${@}", "$*")

_USER = re.compile(r"\$\(\s*id -u\s*\)|`\s*id -u\s*`|\$\{?E?UID\}?", re.ASCII)
_ARGUMENT = re.compile(r"\$(?:(\d)|\{(\d)(?:(#|%)([\w.-]*)|:(\d):(\d))?\})", re.ASCII)
"""``$1``, ``${1}``, ``${1#-}``, ``${1%.conf}`` and ``${1:0:1}``; patterns are taken as they stand."""

_HOME = re.compile(r"\"?(?:\$HOME|\$\{HOME\})\"?(?:/([\w./-]*))?", re.ASCII)
"""``$HOME/.cache``, also with quotes around the variable alone."""

_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "=": str.__eq__,
    "==": str.__eq__,
    "!=": str.__ne__,
    "-eq": str.__eq__,
    "-ne": str.__ne__,
}
_TESTS = {"[": "]", "[[": "]]", "test": ""}
"""Commands that are conditions, and the words that close them."""

_OR, _AND = ("-o", "||"), ("-a", "&&")


@dataclass(frozen=True)
class Known:
    """``arguments`` are those of the script, None if they are not known; ``name`` is its own, ``$0``.

    ``home`` is HOME, "" if it is not known.
    """

    name: str
    arguments: tuple[str, ...] | None
    uid: int
    home: str = ""


def value_of(word: Word, known: Known) -> str | None:
    """Return what a word expands to, None if that is not known."""
    if word.literal is not None:
        is_home = word.bare and word.literal.startswith("~/") and known.home
        return posixpath.join(known.home, word.literal[2:]) if is_home else word.literal
    text = word.raw[1:-1] if word.raw[:1] == word.raw[-1:] == '"' else word.raw
    if _USER.fullmatch(text):
        return str(known.uid)
    if text in ("$0", "${0}", "$BASH_SOURCE", "${BASH_SOURCE}"):
        return known.name
    if known.home and (below := _HOME.fullmatch(text)):
        return posixpath.join(known.home, *filter(None, [below[1]]))
    match = _ARGUMENT.fullmatch(text)
    return _argument(match, known) if match else None


def values_of(words: Iterable[Word], known: Known) -> list[str | None]:
    """Return what words expand to, those of ``"$@"`` included.

    Raises NotUnderstoodError if these are more than MAX_WORDS.
    """
    found: list[str | None] = []
    for word in words:
        if word.raw in ALL_ARGUMENTS:
            found += known.arguments if known.arguments is not None else [None]
        else:
            found.append(value_of(word, known))
        if len(found) > MAX_WORDS:
            raise NotUnderstoodError
    return found


def outcome(words: Sequence[Word], known: Known) -> bool | None:
    """Tell whether a simple command succeeds: one that is a condition, ``true`` or ``false``."""
    name = words[0].literal if words else None
    if name in ("true", ":", "false"):
        return name != "false"
    if name is None or name not in _TESTS:
        return None
    end = _TESTS[name]
    inside = words[1:-1] if end and words[-1].literal == end else words[1:]
    return _either(inside, known)


def both(first: bool | None, second: bool | None) -> bool | None:
    """Return the conjunction of what may be unknown."""
    if first is False or second is False:
        return False
    return True if first and second else None


def either(first: bool | None, second: bool | None) -> bool | None:
    """Return the disjunction of what may be unknown."""
    if first or second:
        return True
    return False if first is False and second is False else None


def _either(words: Sequence[Word], known: Known) -> bool | None:
    if any(word.literal in ("(", ")") for word in words):
        return None
    if (at := _find(words, _OR)) is not None:
        return either(_either(words[:at], known), _either(words[at + 1 :], known))
    if (at := _find(words, _AND)) is not None:
        return both(_either(words[:at], known), _either(words[at + 1 :], known))
    if words and words[0].literal == "!" and words[0].bare:
        inner = _either(words[1:], known)
        return None if inner is None else not inner
    return _comparison(words, known)


def _comparison(words: Sequence[Word], known: Known) -> bool | None:
    values = [value_of(word, known) for word in words]
    match values:
        case [str() as value]:
            return value != ""
        case ["-z", str() as value]:
            return value == ""
        case ["-n", str() as value]:
            return value != ""
        case [str() as left, str() as operator, str() as right] if operator in _COMPARISONS:
            return _COMPARISONS[operator](left, right)
    return None


def _find(words: Sequence[Word], operators: Sequence[str]) -> int | None:
    return next((at for at, word in enumerate(words) if word.bare and word.literal in operators), None)


def _argument(match: re.Match[str], known: Known) -> str | None:
    short, number, cut, text, start, length = match.groups()
    at = int(short or number)
    if at == 0:
        return known.name
    if known.arguments is None:
        return None
    value = known.arguments[at - 1] if at <= len(known.arguments) else ""
    if cut == "#":
        return value.removeprefix(text)
    if cut == "%":
        return value.removesuffix(text)
    return value[int(start) : int(start) + int(length)] if start is not None else value
