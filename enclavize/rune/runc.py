"""Find runc: the administrator's choice, or the one in the system's folders. PATH does not count."""

from __future__ import annotations

import os
from pathlib import Path

from enclavize.errors import EnclavizeError

SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_runc() -> str:
    """Return the path of runc. Raises EnclavizeError if it is not installed."""
    chosen = os.environ.get("ENCLAVIZE_RUNC")
    if chosen:
        import shutil

        if not shutil.which(chosen):
            raise EnclavizeError(f"ENCLAVIZE_RUNC={chosen}: there is no such program")
        return chosen
    candidates = (f"{folder}/runc" for folder in SAFE_PATH.split(":"))
    found = next((path for path in candidates if Path(path).is_file() and os.access(path, os.X_OK)), None)
    if not found:
        raise EnclavizeError(
            f"runc is not installed (looked in {SAFE_PATH})", hint="install it: apt-get install runc"
        )
    return found
