"""Lengths of time: ``90s``, ``24h``, ``7d``."""

import re

from enclavize.errors import UsageError

_DURATION = re.compile(r"(\d{1,9})\s?([smhdw])", re.IGNORECASE | re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> int:
    """Return seconds."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a length of time", hint="write it like 24h or 7d")
    return int(match[1]) * _SECONDS[match[2].lower()]
