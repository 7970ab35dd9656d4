"""Options of the command line, with those of a configuration file behind them: the command line wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from enclavize.pipeline.configuration import Configuration, load_configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True)
class Configured:
    """Gives the value of each option. What is wrong in the file is said with its line."""

    file: Configuration

    @staticmethod
    def load(path: Path | None) -> Configured:
        """Read the file that ``--config`` names. Raises UsageError."""
        return Configured(load_configuration(path) if path is not None else Configuration())

    @property
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The tables of LibOSes."""
        return self.file.tables

    def one(self, table: str, key: str, given: T | None, parse: Callable[[Any], T]) -> T | None:
        """Return the value of an option, or None. ``parse`` reads that of the file."""
        value = self.file.get(table, key)
        if given is not None or value is None:
            return given
        with self.file.place(table, key):
            return parse(value)

    def flag(self, table: str, key: str, given: bool) -> bool:
        """Return whether a switch is on, in one place or the other."""
        return given or bool(self.file.get(table, key))

    def several(
        self, table: str, key: str, given: list[str] | None, parse: Callable[[Iterable[str]], T]
    ) -> T:
        """Return the values of an option that may be repeated: all from one place, not some from each."""
        if given:
            return parse(given)
        with self.file.place(table, key):
            return parse(self.file.get(table, key) or [])

    def listed(self, table: str, key: str) -> list[str]:
        """Return the texts that the file has for an option."""
        return list(self.file.get(table, key) or ())

    def pairs(self, key: str, given: list[str], parse: Callable[[Iterable[str]], T]) -> T:
        """Return ``NAME=VALUE`` options, name by name."""
        texts = [f"{name}={value}" for name, value in (self.file.get("", key) or {}).items()]
        with self.file.place("", key):
            parse(texts)
        return parse([*texts, *given])

    def settings(
        self, table: str, given: list[str], parse: Callable[[Iterable[str]], T], *, behind: Iterable[str] = ()
    ) -> T:
        """Return the values of ``--set``, key by key; in the file they are a table.

        Those ``behind`` count where neither has the key.
        """
        on_command_line = {text.partition("=")[0].strip() for text in given}
        in_file = {key for name, key in self.file.values if name == table}
        texts = [text for text in behind if text.partition("=")[0] not in on_command_line | in_file]
        for name, key in self.file.values:
            if name == table and key not in on_command_line:
                texts.append(f"{key}={self.file.get(name, key)}")
                with self.file.place(table, key):
                    parse(texts[-1:])
        return parse([*texts, *given])
