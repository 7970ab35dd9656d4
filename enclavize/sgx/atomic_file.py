"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def write_file(path: Path, chunks: Iterable[bytes | memoryview], *, mode: int, replace: bool = True) -> None:
    """Writes ``chunks`` to ``path`` under a temporary name, syncs, then gives it its name and ``mode``.

    With ``replace=False`` an existing file stays as it is and ``FileExistsError`` is raised. On any failure
    nothing is left behind and an existing file is unchanged.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as output:
            for chunk in chunks:
                output.write(chunk)
            output.flush()
            os.fchmod(output.fileno(), mode)
            os.fsync(output.fileno())
        if replace:
            Path(temporary).replace(path)
        else:
            os.link(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_output(path: Path, chunks: Iterable[bytes | memoryview], *, mode: int = 0o644) -> None:
    """``write_file`` to where a user wants it. Raises ``UsageError`` if it cannot be written."""
    try:
        write_file(path, chunks, mode=mode)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
