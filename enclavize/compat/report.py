"""What a check found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from enclavize.errors import IncompatibleImageError

REPORT_VERSION = 1


class Severity(StrEnum):
    """How bad a finding is: an error means that the image does not run."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding; ``path`` is the file of the image that it is about, or ""."""

    code: str
    severity: Severity
    path: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All findings about one image and one LibOS."""

    image: str
    libos: str
    libos_version: str
    title: str
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop a build."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that are shown."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)

    def raise_errors(self) -> None:
        """Raise IncompatibleImageError naming all errors."""
        if not self.errors:
            return
        lines = [f"{finding.code}: {finding.message}" for finding in self.errors]
        remedies = dict.fromkeys(finding.remedy for finding in self.errors if finding.remedy)
        raise IncompatibleImageError(
            f"{self.title} cannot run {self.image}\n  " + "\n  ".join(lines), hint="; ".join(remedies) or None
        )

    def to_text(self) -> str:
        """Return the report for people."""
        verdict = "cannot run" if self.errors else "can run"
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.severity.value:<7}  {finding.code}  {finding.message}")
            if finding.remedy:
                lines.append(f"{'':17}{finding.remedy}")
        lines.append(f"{self.title} {verdict} {self.image}")
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Return the report for programs."""
        document = {
            "version": REPORT_VERSION,
            "image": self.image,
            "libos": {"name": self.libos, "version": self.libos_version},
            "runs": not self.errors,
            "findings": [asdict(finding) for finding in self.findings],
        }
        return json.dumps(document, indent=2) + "\n"
