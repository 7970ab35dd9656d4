"""Sizes of memory: ``512M``, ``2G``, ``1073741824``."""

import re

from enclavize.errors import UsageError

_SIZE = re.compile(r"(\d{1,15})\s?([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def parse_size(text: str) -> int:
    """Return bytes. Suffixes are powers of 1024, as docker's are: k, m, g, t, with or without b or ib."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a size", hint="write it like 512M or 2G")
    return int(match[1]) << _SHIFTS[match[2].lower()]
