"""``enclavize.toml``: options of a build in a file. docs/configuration.md describes it for users.

Keys are the names of the command line's options, and their values are read by the same rules. The tables of
LibOSes are handed to their backends, which know what may stand in them.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.base import MAX_SWITCHLESS, MAX_THREADS
from enclavize.libos.titles import TITLES
from enclavize.tee.policy import ANY_COMMAND
from enclavize.toml_file import check_size, parse_toml, read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from pathlib import Path

MAX_CONFIGURATION_SIZE = 1 << 20
"""Bytes."""

_WHAT = "configuration"

MAX_DEPTH = 32
"""Tables and lists inside one another."""

MAX_ISV_NUMBER = 0xFFFF
"""ISVPRODID and ISVSVN have 16 bits."""

Value = str | int | bool | list[str] | dict[str, str]


class _WrongValueError(Exception):
    """The text goes on after the name of the key."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _WrongValueError("is not text")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise _WrongValueError("is not a list of texts")
    return [_text(item) for item in value]


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError("is neither true nor false")
    return value


def _up_to(maximum: int) -> Callable[[object], int]:
    def number(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise _WrongValueError(f"is not a number from 0 to {maximum}")
        return value

    return number


def _size(value: object) -> str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise _WrongValueError('is not a size, such as "512M"')


def _date(value: object) -> str:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.isoformat()
    return _text(value)


def _commands(value: object) -> list[str]:
    """Accept a list of commands; true stands for any command, as the option without a value does."""
    if isinstance(value, bool):
        return [ANY_COMMAND] if value else []
    try:
        return _texts(value)
    except _WrongValueError as error:
        raise _WrongValueError("is neither true nor a list of commands") from error


def _pairs(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _WrongValueError("is not a table of texts")
    if any("=" in name for name in value):
        raise _WrongValueError("has a name with an equals sign")
    return value


_SCHEMA: Mapping[str, Mapping[str, Callable[[object], Value]]] = {
    "": {
        "libos": _text,
        "toolchain": _text,
        "isvprodid": _up_to(MAX_ISV_NUMBER),
        "isvsvn": _up_to(MAX_ISV_NUMBER),
        "date": _date,
        "production": _flag,
        "force": _texts,
        "label": _pairs,
        "annotation": _pairs,
    },
    "resources": {
        "memory": _size,
        "threads": _up_to(MAX_THREADS),
        "kernel-heap": _size,
        "fault-around": _size,
        "switchless": _up_to(MAX_SWITCHLESS),
    },
    "policy": {
        "allow-args": _flag,
        "allow-env": _texts,
        "allow-exec": _commands,
        "volume": _texts,
        "allow-host-network-files": _flag,
        "allow-network": _text,
    },
}
"""Keys by table, the first of which has no name; and how values are checked."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a file says: checked values by table and key, and the tables of LibOSes as they stand there."""

    path: str = ""
    values: Mapping[tuple[str, str], Value] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lines: Sequence[str] = field(default=(), repr=False)

    def get(self, table: str, key: str) -> Any:
        """Return a value, or None."""
        return self.values.get((table, key))

    @contextmanager
    def place(self, table: str, key: str) -> Iterator[None]:
        """Let UsageErrors of the block say that the value of this key is meant."""
        try:
            yield
        except UsageError as error:
            raise UsageError(f"{self._place(table, key)}: {error}", hint=error.hint) from error

    def wrong(self, table: str, key: str, problem: str) -> UsageError:
        """Return the error for a key."""
        name = ".".join(filter(None, (table, key)))
        return UsageError(f"{self._place(table, key)}: {name} {problem}")

    def _place(self, table: str, key: str) -> str:
        return f"{self.path}, line {_line(self.lines, table, key)}"


def load_configuration(path: Path) -> Configuration:
    """Read and check a file. Raises UsageError naming file, line and key."""
    return parse_configuration(read_bounded(path, _WHAT, MAX_CONFIGURATION_SIZE), str(path))[0]


def parse_configuration(
    data: bytes, path: str, apart: Container[str] = ()
) -> tuple[Configuration, dict[str, Any]]:
    """Read and check the content of the file ``path``; what stands under the names ``apart`` is handed back.

    Raises UsageError.
    """
    check_size(data, path, _WHAT, MAX_CONFIGURATION_SIZE)
    try:
        document = parse_toml(data)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    others = {name: value for name, value in document.items() if name in apart}
    own = {name: value for name, value in document.items() if name not in apart}
    return _checked(Configuration(path=path, lines=data.decode().splitlines()), own), others


def _checked(configuration: Configuration, document: Mapping[str, Any]) -> Configuration:
    values: dict[tuple[str, str], Value] = {}
    tables: dict[str, Mapping[str, Any]] = {}
    for name, value in document.items():
        if name in _SCHEMA[""]:
            values["", name] = _value(configuration, "", name, value)
        elif name not in _SCHEMA and name not in TITLES:
            raise configuration.wrong("", name, "is unknown")
        elif not isinstance(value, dict):
            raise configuration.wrong("", name, "is not a table")
        elif name in TITLES:
            _check_plain(configuration, name, value, name, MAX_DEPTH)
            tables[name] = value
        else:
            for key, item in value.items():
                values[name, key] = _value(configuration, name, key, item)
    return Configuration(path=configuration.path, lines=configuration.lines, values=values, tables=tables)


def _value(configuration: Configuration, table: str, key: str, value: object) -> Value:
    check = _SCHEMA[table].get(key)
    if check is None:
        raise configuration.wrong(table, key, "is unknown")
    try:
        return check(value)
    except _WrongValueError as error:
        raise configuration.wrong(table, key, str(error)) from error


def _check_plain(configuration: Configuration, table: str, value: object, name: str, depth: int) -> None:
    """Refuse what JSON does not have: dates, infinities."""
    if depth == 0:
        raise configuration.wrong("", table, "has tables nested too deeply")
    match value:
        case dict():
            for key, item in value.items():
                _check_plain(configuration, table, item, f"{name}.{key}", depth - 1)
        case list():
            for item in value:
                _check_plain(configuration, table, item, name, depth - 1)
        case float() if not math.isfinite(value):
            raise configuration.wrong("", table, f"has an infinite number in {name}")
        case str() | int() | float():
            pass
        case _:
            raise configuration.wrong("", table, f"has a date or time in {name}; write it as text")


def _line(lines: Sequence[str], table: str, key: str) -> int:
    """Return the line of a key, or else of its table, or 1."""
    names_key = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]")
    names_table = re.compile(rf"\s*{re.escape(table)}\s*[=.]")
    inside, found = not table, 1
    for number, line in enumerate(lines, 1):
        if header := re.match(r"\s*\[+\s*[\"']?([\w-]+)", line):
            inside = header[1] == table
            if header[1] == (table or key):
                found = number
        elif inside and names_key.match(line):
            return number
        elif table and names_table.match(line):
            found = number
    return found
