"""Folders that the table ``[gramine]`` opens for writing, before anybody has validated it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TMPFS = "tmpfs"
"""Key of the table for ``--tmpfs``."""


def memory_folders(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the absolute paths of ``--tmpfs`` and of the user's mounts; what is no path is passed over."""
    mounts = _at(_at(table, "fs", {}), "mounts", [])
    asked = _at(table, TMPFS, [])
    paths = [*asked, *(_at(mount, "path", "") for mount in mounts)]
    return tuple(path for path in paths if isinstance(path, str) and path.startswith("/"))


def _at(table: object, key: str, default: Any) -> Any:
    """Return a value of a table if it has the type of the default, else that."""
    value = table.get(key, default) if isinstance(table, dict) else default
    return value if isinstance(value, type(default)) else default
