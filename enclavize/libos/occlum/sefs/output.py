"""Folders that appear whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_folder(path: Path, mode: int = 0o777) -> Iterator[Path]:
    """Give a new folder that gets its name if the block ends well, and vanishes if not.

    Raises UsageError if there is something of that name.
    """
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists", hint="remove it, or give another name")
    with storage_errors("write", path):
        temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}")
        temporary.mkdir(mode)
        try:
            yield temporary
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
