"""Where a user's files are (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from pathlib import Path

_NAME = "enclavize"


def user_cache() -> Path:
    """Return the folder of what can be made again: below ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    return _base("XDG_CACHE_HOME", ".cache") / _NAME


def user_data() -> Path:
    """Return the folder of what is kept: below ``$XDG_DATA_HOME``, or ``~/.local/share``."""
    return _base("XDG_DATA_HOME", ".local/share") / _NAME


def _base(variable: str, usual: str) -> Path:
    chosen = os.environ.get(variable, "")
    return Path(chosen) if chosen.strip() else Path.home() / usual
