"""Reports on a terminal: a table of LibOSes, or the findings about one, in the terminal's width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from enclavize.compat.choice import best, reason
from enclavize.compat.output import advice_lines, decisive_codes
from enclavize.compat.report import Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from enclavize.compat.report import Finding, Report

_VERDICT_STYLES = {Verdict.RUNS: "green", Verdict.DOUBTFUL: "yellow", Verdict.FAILS: "red"}
_SEVERITY_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def draw_table(reports: Sequence[Report], console: Console) -> None:
    """Print one row for each LibOS, and the choice with its reason. rich honours NO_COLOR."""
    chosen = best(reports)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("LibOS", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("errors", justify="right")
    table.add_column("warnings", justify="right")
    table.add_column("codes", overflow="fold")
    for report in reports:
        table.add_row(
            Text(report.title, style="bold" if report is chosen else ""),
            Text(report.verdict.value, style=_VERDICT_STYLES[report.verdict]),
            str(len(report.errors)),
            str(len(report.warnings)),
            decisive_codes(report),
        )
    console.print(table)
    if chosen is not None:
        console.print(Text.assemble("best: ", (chosen.title, "bold"), f" ({reason(chosen, reports)})"))
    else:
        nearest = min(reports, key=lambda report: len(report.errors))
        console.print(Text(f"none runs the image; what {nearest.title} lacks:"))
        console.print(_findings(nearest.errors))


def draw_findings(reports: Sequence[Report], console: Console) -> None:
    """Print all findings, the advice on sizes and the verdict of each report."""
    for report in reports:
        grid = _findings(report.findings)
        grid.add_row("advice", "", Text("\n".join(advice_lines(report))))
        if report.silenced:
            grid.add_row("silenced", "", f"{report.silenced} findings")
        console.print(grid)
        verdict = (report.verdict.value, _VERDICT_STYLES[report.verdict])
        console.print(Text.assemble((report.title, "bold"), ": ", verdict, f": {report.image}"))


def _findings(findings: Iterable[Finding]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=len("silenced"))
    grid.add_column(no_wrap=True, min_width=len("OCC000"))
    grid.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.message)
        if finding.remedy:
            text.append(f"\n→ {finding.remedy}", style="dim")
        grid.add_row(
            Text(finding.severity.value, style=_SEVERITY_STYLES[finding.severity]), finding.code, text
        )
    return grid
