"""Reports for people, for programs, and for the machines that review changes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from enclavize import __version__
from enclavize.compat.choice import best, reason
from enclavize.compat.codes import CODES
from enclavize.compat.report import Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from enclavize.compat.report import Finding, Report

REPORT_VERSION = 2

_MIB = 1 << 20
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def to_text(reports: Sequence[Report]) -> str:
    """Return all findings, the advice on sizes and the verdict of each report."""
    return "\n".join(map(_text, reports))


def _text(report: Report) -> str:
    advice, *reasons = advice_lines(report)
    lines = [*_lines(report.findings), f"advice   {advice}", *(f"{'':9}{line}" for line in reasons)]
    if report.silenced:
        lines.append(f"{report.silenced} findings silenced")
    lines.append(f"{report.title}: {report.verdict.value}: {report.image}")
    return "\n".join(lines) + "\n"


def advice_lines(report: Report) -> list[str]:
    """Return the advice on sizes, then its reasons."""
    advice = report.advice
    heap = f", kernel heap {advice.kernel_heap // _MIB}M" if advice.kernel_heap else ""
    descriptors = f", open files of the host {advice.descriptors}" if advice.descriptors else ""
    sizes = f"memory {advice.memory // _MIB}M, threads {advice.threads}{heap}{descriptors}"
    return [sizes, *advice.reasons]


def decisive_codes(report: Report) -> str:
    """Return the codes of the errors, or else those of the warnings: what the verdict comes from."""
    return " ".join(dict.fromkeys(finding.code for finding in report.errors or report.warnings))


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.severity.value:<7}  {finding.code}  {finding.message}"
        if finding.remedy:
            yield f"{'':17}{finding.remedy}"


def to_table(reports: Sequence[Report]) -> str:
    """Return one line for each LibOS, and the choice."""
    rows = [
        ("LIBOS", "VERDICT", "ERRORS", "WARNINGS", "CODES"),
        *(
            (
                report.title,
                report.verdict.value,
                str(len(report.errors)),
                str(len(report.warnings)),
                decisive_codes(report),
            )
            for report in reports
        ),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    chosen = best(reports)
    if chosen:
        lines.append(f"best: {chosen.title} ({reason(chosen, reports)})")
    else:
        nearest = min(reports, key=lambda report: len(report.errors))
        lines.append(f"none runs the image; what {nearest.title} lacks:")
        lines.extend(_lines(nearest.errors))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def to_json(reports: Sequence[Report]) -> str:
    """Return the reports for programs."""
    chosen = best(reports)
    document = {
        "version": REPORT_VERSION,
        "image": reports[0].image,
        "best": {"name": chosen.libos, "version": chosen.libos_version} if chosen else None,
        "reports": [
            {
                "libos": {"name": report.libos, "version": report.libos_version},
                "runs": report.verdict is not Verdict.FAILS,
                "verdict": report.verdict.value,
                "findings": [asdict(finding) for finding in report.findings],
                "silenced": report.silenced,
                "advice": asdict(report.advice),
            }
            for report in reports
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def to_sarif(reports: Sequence[Report]) -> str:
    """Return a SARIF 2.1.0 log (OASIS), one run for each LibOS."""
    document = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [_sarif_run(item) for item in reports]}
    return json.dumps(document, indent=2) + "\n"


def to_github(reports: Sequence[Report]) -> str:
    """Return workflow commands of GitHub Actions: an annotation for each finding."""
    lines = []
    for report in reports:
        for finding in report.findings:
            title = _escape_property(f"{finding.code} ({report.title})")
            text = finding.message + (f"; {finding.remedy}" if finding.remedy else "")
            lines.append(f"::{_GITHUB_LEVELS[finding.severity]} title={title}::{_escape_data(text)}")
    return "".join(f"{line}\n" for line in lines)


def _sarif_run(report: Report) -> dict[str, Any]:
    codes = sorted({finding.code for finding in report.findings})
    return {
        "automationDetails": {"id": f"enclavize/{report.libos}/{report.libos_version}"},
        "tool": {
            "driver": {
                "name": "enclavize",
                "version": __version__,
                "rules": [
                    {
                        "id": code,
                        "shortDescription": {"text": CODES[code].title},
                        "fullDescription": {"text": CODES[code].text},
                    }
                    for code in codes
                ],
            }
        },
        "results": [_sarif_result(finding, report) for finding in report.findings],
    }


def _sarif_result(finding: Finding, report: Report) -> dict[str, Any]:
    text = finding.message + (f". Remedy: {finding.remedy}" if finding.remedy else "")
    place = {"physicalLocation": {"artifactLocation": {"uri": _uri(finding.path)}}}
    return {
        "ruleId": finding.code,
        "level": finding.severity.value,
        "message": {"text": f"{report.title}: {text}"},
        "locations": [place],
    }


def _uri(path: str) -> str:
    """Return a reference relative to the image's root; GitHub refuses results without a location."""
    from urllib.parse import quote_from_bytes

    return quote_from_bytes(path.encode("utf-8", "surrogateescape")) or "."


def _escape_data(text: str) -> str:
    """Escape as actions/toolkit does (packages/core/src/command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")
