"""Files that hold one secret in their first line: a PIN, a token."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_SECRET = 4096
"""Bytes of the whole file."""


def read_secret(path: Path, what: str) -> bytes:
    """The first line of a file that not every user can read; ``what`` names it. Raises ``UsageError``."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET + 1)
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise UsageError(f"every user of this machine can read the {what} {path}", hint=f"chmod 600 {path}")
    secret = data.partition(b"\n")[0].removesuffix(b"\r")
    if not secret or len(data) > MAX_SECRET:
        raise UsageError(f"{path} has no {what} in its first line")
    return secret
