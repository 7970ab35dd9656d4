"""TOML files of engines, changed so that comments and order stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def parse(data: bytes | None, path: Path) -> Any:
    """Return the document. Raises EnclavizeError."""
    try:
        return tomlkit.parse((data or b"").decode())
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise EnclavizeError(f"{path}: {error}", hint="its engine could not read it either") from error


def table_at(document: Any, names: Iterable[str], path: Path) -> Any:
    """Return the table that a path of keys leads to; what is missing is made. Raises EnclavizeError."""
    table = document
    for name in names:
        if name not in table:
            table.add(name, tomlkit.table(is_super_table=True))
        table = table[name]
        if not hasattr(table, "add"):
            raise EnclavizeError(f"{path}: {name} is not a table")
    return table


def dump(document: Any) -> bytes:
    """Return the text."""
    return tomlkit.dumps(document).encode()
