"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from enclavize.errors import IncompatibleImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.compat.sizes import Advice


class Severity(StrEnum):
    """How bad a finding is: an error means that the image does not run."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Verdict(StrEnum):
    """What a report comes to."""

    RUNS = "runs"
    DOUBTFUL = "runs, with warnings"
    FAILS = "does not run"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding; ``path`` is the file of the image that it is about, or ""; ``others`` are further ones."""

    code: str
    severity: Severity
    path: str
    message: str
    remedy: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Findings with ``code`` about files that all match the shell pattern ``paths`` are not reported."""

    code: str
    paths: str = "*"

    def covers(self, finding: Finding) -> bool:
        """Tell whether the finding is silenced."""
        return finding.code == self.code and all(
            fnmatchcase(f"/{path}", self.paths) for path in (finding.path, *finding.others)
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """All findings about one image and one LibOS."""

    image: str
    libos: str
    libos_version: str
    title: str
    findings: tuple[Finding, ...]
    advice: Advice
    silenced: int = 0
    """How many findings are left out because the user said so."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop a build."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that are shown."""
        return self._of(Severity.WARNING)

    @property
    def verdict(self) -> Verdict:
        """What the findings come to."""
        if self.errors:
            return Verdict.FAILS
        return Verdict.DOUBTFUL if self.warnings else Verdict.RUNS

    def without(self, silences: Iterable[Silence]) -> Report:
        """Return the report without what is silenced."""
        silences = tuple(silences)
        kept = tuple(
            finding for finding in self.findings if not any(silence.covers(finding) for silence in silences)
        )
        return replace(self, findings=kept, silenced=self.silenced + len(self.findings) - len(kept))

    def raise_errors(self, overridden: Iterable[str] = ()) -> None:
        """Raise IncompatibleImageError naming all errors whose codes are not overridden."""
        overridden = frozenset(overridden)
        errors = [finding for finding in self.errors if finding.code not in overridden]
        if not errors:
            return
        lines = [f"{finding.code}: {finding.message}" for finding in errors]
        remedies = dict.fromkeys(finding.remedy for finding in errors if finding.remedy)
        raise IncompatibleImageError(
            f"{self.title} cannot run {self.image}\n  " + "\n  ".join(lines), hint="; ".join(remedies) or None
        )

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is severity)
