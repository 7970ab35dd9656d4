"""Reading of profiles: the fields of the dataclasses are the schema, their annotations the checks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from enclavize.compat.syscalls import NUMBERS
from enclavize.errors import UsageError
from enclavize.toml_file import parse_toml, read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import StrEnum
    from pathlib import Path

MAX_PROFILE_SIZE = 1 << 20
"""Bytes."""


class WrongValueError(Exception):
    """A value is not what its key stands for; the text goes on after the name of the key."""


_Choice = TypeVar("_Choice", bound="StrEnum")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise WrongValueError("is not text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongValueError("is neither true nor false")
    return value


def _version(value: object) -> tuple[int, ...]:
    if not isinstance(value, str) or not re.fullmatch(r"(\d{1,4}(\.\d{1,4}){1,3})?", value, re.ASCII):
        raise WrongValueError('is no version, such as "2.31", nor ""')
    return tuple(map(int, value.split("."))) if value else (0, 0)


def _names(what: str, is_one: Callable[[str], object], lack: str) -> Callable[[object], frozenset[str]]:
    def names(value: object) -> frozenset[str]:
        if not isinstance(value, list):
            raise WrongValueError(f"is not a list of {what}")
        for name in value:
            if not isinstance(name, str) or not is_one(name):
                raise WrongValueError(f"has {name!r}, which is no {lack}")
        return frozenset(value)

    return names


def _paths(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise WrongValueError("is not a list of paths")
    for path in value:
        parts = path.split("/") if isinstance(path, str) else [""]
        if not {"", ".", ".."}.isdisjoint(parts):
            raise WrongValueError(f'has {path!r}, which is no path such as "usr/lib"')
    return tuple(value)


def _symbol_versions(value: object) -> dict[str, tuple[int, ...]]:
    if not isinstance(value, list):
        raise WrongValueError("is not a list of symbol versions")
    found = {}
    for text in value:
        if not isinstance(text, str) or not re.fullmatch(r"[A-Z]+_\d{1,4}(\.\d{1,4}){1,3}", text, re.ASCII):
            raise WrongValueError(f'has {text!r}, which is no symbol version, such as "GLIBC_2.31"')
        family, number = text.rsplit("_", 1)
        found[family] = _version(number)
    return found


def up_to(maximum: int) -> Callable[[object], int]:
    """Return the check of a number."""

    def number(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise WrongValueError(f"is not a number from 0 to {maximum}")
        return value

    return number


def one_of(choices: type[_Choice]) -> Callable[[object], _Choice]:
    """Return the check of a word."""

    def choice(value: object) -> _Choice:
        if not isinstance(value, str) or value not in list(choices):
            raise WrongValueError(f"is none of {', '.join(choices)}")
        return choices(value)

    return choice


Text = Annotated[str, _text]
Flag = Annotated[bool, _flag]
Version = Annotated[tuple[int, ...], _version]
"""Empty text stands for (0, 0)."""
Calls = Annotated[
    frozenset[str], _names("names of system calls", NUMBERS.__contains__, "system call of x86-64")
]
Names = Annotated[
    frozenset[str], _names("names", re.compile(r"[A-Z][A-Z0-9_]{0,63}").fullmatch, "name such as TCP_INFO")
]
"""Names of constants."""
Paths = Annotated[tuple[str, ...], _paths]
"""Canonical paths, without the first slash."""
SymbolVersions = Annotated[dict[str, tuple[int, ...]], _symbol_versions]
"""The highest version of each family: ``GLIBC_2.31`` is ``{"GLIBC": (2, 31)}``."""


class Document:
    """A TOML file. Errors are UsageErrors that name file, line and key."""

    def __init__(self, path: Path) -> None:
        data = read_bounded(path, "profile", MAX_PROFILE_SIZE)
        try:
            self._tables = parse_toml(data)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from error
        self._path = path
        self._lines = data.decode().splitlines()

    def only(self, tables: Iterable[str]) -> None:
        """Refuse tables that are not named."""
        for table in self._tables.keys() - set(tables):
            raise self._wrong(table, "", "is unknown")

    def read(self, table: str, schema: type, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """Return the values of a table: a key for each annotated field of ``schema``, and no others."""
        content = self._tables.get(table)
        if not isinstance(content, dict):
            raise self._wrong(table, "", "is missing or not a table")
        hints = get_type_hints(schema, include_extras=True)
        checks = {key: get_args(hint)[1] for key, hint in hints.items() if key not in without}
        for key in content:
            if key not in checks:
                raise self._wrong(table, key, "is unknown")
        values = {}
        for key, check in checks.items():
            if key not in content:
                raise self._wrong(table, key, "is missing")
            try:
                values[key] = check(content[key])
            except WrongValueError as error:
                raise self._wrong(table, key, str(error)) from error
        return values

    def _wrong(self, table: str, key: str, problem: str) -> UsageError:
        name = f"{table}.{key}" if key else table
        return UsageError(f"{self._path}, line {self._line(table, key)}: {name} {problem}")

    def _line(self, table: str, key: str) -> int:
        """Return the line of the key, or else of its table, or 1."""
        inside, found = False, 1
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
                inside = header[1] == table
                found = number if inside else found
            elif re.match(rf"\s*{re.escape(key or table)}\s*=", line) and (inside if key else found == 1):
                return number
        return found
