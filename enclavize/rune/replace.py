"""Write a file in one step. ``tempfile`` would do it, too, but costs a tenth of a container's start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TEMPORARY = ".new-"
"""What the names of files begin with that are not complete; the rest is random."""


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Give a file its content and permission bits, whole or not at all. Raises OSError."""
    temporary = path.with_name(f"{TEMPORARY}{os.urandom(8).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
