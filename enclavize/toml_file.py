"""TOML that people write: read within a bound, and refused in words."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def read_toml(path: Path, what: str, limit: int) -> dict[str, Any]:
    """Return the tables of a file of at most ``limit`` bytes; ``what`` names its kind. Raises UsageError."""
    data = read_bounded(path, what, limit)
    try:
        return parse_toml(data)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def read_bounded(path: Path, what: str, limit: int) -> bytes:
    """Return the bytes of such a file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}") from error
    check_size(data, str(path), what, limit)
    return data


def check_size(data: bytes, where: str, what: str, limit: int) -> None:
    """Refuse what is longer. Raises UsageError."""
    if len(data) > limit:
        raise UsageError(f"{where}: a {what} has at most {limit} bytes")


def parse_toml(data: bytes) -> dict[str, Any]:
    """Return the tables. Raises ValueError, in words for the user, whatever is wrong.

    The decoder raises one as well, and so do numbers that are too long for ``int``.
    """
    try:
        return tomllib.loads(data.decode())
    except RecursionError as error:
        raise ValueError("values are nested too deeply") from error
