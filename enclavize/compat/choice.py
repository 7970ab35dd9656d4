"""Choosing a LibOS for an image: the one that runs it, with the fewest doubts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.report import Verdict
from enclavize.libos_version import version_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.compat.report import Report

_PREFERENCE = ("builtin", "gramine", "occlum")
"""Between equals: what needs nothing from elsewhere first, then what replaces less of the image."""


def best(reports: Sequence[Report]) -> Report | None:
    """Return the report of the LibOS to take; None if none runs the image."""
    running = [report for report in reports if report.verdict is not Verdict.FAILS]
    newest_first = sorted(running, key=lambda report: version_key(report.libos_version), reverse=True)
    return min(newest_first, key=_rank, default=None)


def reason(chosen: Report, reports: Sequence[Report]) -> str:
    """Say why this one was taken."""
    running = [report for report in reports if report.verdict is not Verdict.FAILS]
    of_all = f"{len(running)} of {len(reports)} profiles run the image"
    if chosen.verdict is Verdict.RUNS:
        return f"{of_all}; {chosen.title} does without a warning"
    return f"{of_all}; {chosen.title} does with the fewest warnings ({len(chosen.warnings)})"


def _rank(report: Report) -> tuple[int, int]:
    preference = _PREFERENCE.index(report.libos) if report.libos in _PREFERENCE else len(_PREFERENCE)
    return len(report.warnings), preference
