"""The words that all rules use: names of files, lists of names, findings about a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.report import Finding, Severity
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from enclavize.rootfs.entry import Entry

_MAX_NAMED = 8


def name_of(entry: Entry) -> str:
    """Return the absolute path of a file, as it may be shown."""
    return f"/{printable(entry.path)}"


def listed(names: Iterable[str]) -> str:
    """Return some of the names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def that_fail(names: Sequence[str]) -> str:
    """Return some of the names, and that they fail."""
    return f"{listed(names)}, which {'fails' if len(names) == 1 else 'fail'}"


def finding_about(code: str, severity: Severity, entry: Entry, text: str, remedy: str = "") -> Finding:
    """Return a finding whose message begins with the name of the file."""
    return Finding(
        code=code, severity=severity, path=entry.path, message=f"{name_of(entry)} {text}", remedy=remedy
    )


def error_about(code: str, entry: Entry, text: str, remedy: str = "") -> Finding:
    """Return such a finding, as an error."""
    return finding_about(code, Severity.ERROR, entry, text, remedy)


def finding_about_all(
    code: str, severity: Severity, entries: Sequence[Entry], message: str, remedy: str = ""
) -> Finding:
    """Return one finding about some files, or about none in particular."""
    path, *others = [entry.path for entry in entries] or [""]
    return Finding(
        code=code, severity=severity, path=path, message=message, remedy=remedy, others=tuple(others)
    )
