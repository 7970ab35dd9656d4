"""Facts for people and for programs: a table, JSON, or one field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


def present(facts: Mapping[str, Any], form: str) -> str:
    """Return ``facts`` as ``table``, ``json``, or the one field that ``form`` names (``policy.volumes``).

    Raises UsageError for a field that is not there.
    """
    if form == "json":
        return json.dumps(facts, indent=2) + "\n"
    rows = dict(_flatten(facts))
    if form == "table":
        width = max(map(len, rows), default=0)
        return "".join(f"{name.ljust(width)}  {_line(value)}\n" for name, value in rows.items())
    value: Any = facts
    for part in form.strip("{}").removeprefix(".").split("."):
        if not isinstance(value, dict) or part not in value:
            raise UsageError(f"--format {form!r}: there is no such field", hint=f"fields: {', '.join(rows)}")
        value = value[part]
    return (json.dumps(value) if isinstance(value, dict) else _line(value)) + "\n"


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows of facts in columns, with the names of the columns above; absent facts are empty."""
    lines = [
        [column.upper() for column in columns],
        *([_line(row.get(column, "")) for column in columns] for row in rows),
    ]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
