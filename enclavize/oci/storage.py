"""Files that appear whole or not at all, and disk errors in words."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn operating system errors into errors for the user: ``cannot <action> <path>: ...``."""
    try:
        yield
    except OSError as error:
        hint = None
        if error.errno in _DISK_FULL:
            hint = "make room on that disk, or choose another with XDG_CACHE_HOME or the output's dest="
        raise EnclavizeError(f"cannot {action} {path}: {error.strerror or error}", hint=hint) from error


@contextmanager
def atomic_file(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a file that takes its name when the block ends well, and vanishes when it does not."""
    import tempfile

    with storage_errors("write", path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:200]}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                os.fchmod(stream.fileno(), mode & ~umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def umask() -> int:
    """Return the mode bits that new files of this process do not get."""
    # The only way to read it without setting it, which would disturb other threads.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
