"""The order of LibOS versions."""

from __future__ import annotations

import re


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are compared by: 0.31 is 0.31.0, and what has no number comes before all."""
    parts = [int(part) for part in re.findall(r"\d+", version)]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
