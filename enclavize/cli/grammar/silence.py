"""Codes of findings: ``--ignore CODE[:PATTERN]`` and ``--force CODE``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.codes import CODES
from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.compat.report import Silence


def parse_silences(texts: Iterable[str]) -> tuple[Silence, ...]:
    """Parse all values of ``--ignore``. Raises UsageError for unknown codes."""
    from enclavize.compat.report import Silence

    silences = []
    for text in texts:
        code, _, pattern = text.partition(":")
        silences.append(Silence(code=_code(code, "--ignore"), paths=pattern or "*"))
    return tuple(silences)


def parse_forced(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse all values of ``--force``. Raises UsageError for unknown codes."""
    return tuple(sorted({_code(text, "--force") for text in texts}))


def _code(text: str, option: str) -> str:
    code = text.upper()
    if code not in CODES:
        raise UsageError(f"{option} {text}: there is no such code", hint="codes look like OCC008")
    return code
