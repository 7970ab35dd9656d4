"""On a terminal reports are drawn in its width, with colours where they are wanted."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from enclavize.compat.profile import builtin_profiles
from enclavize.compat.report import Finding, Report, Severity
from enclavize.compat.sizes import Advice
from enclavize.compat.terminal import draw_findings, draw_table

if TYPE_CHECKING:
    from collections.abc import Sequence

ERROR = Finding(
    code="OCC008", severity=Severity.ERROR, path="bin/app", message="/bin/app [red]is static " * 8,
    remedy="link it dynamically",
)  # fmt: skip
WARNINGS = tuple(
    Finding(code=f"OCC0{number}", severity=Severity.WARNING, path="", message="may fail")
    for number in range(10, 30)
)
ADVICE = Advice(
    memory=1 << 30, threads=64, kernel_heap=1 << 25, descriptors=0, reasons=("as usual, but " * 10,)
)
REPORTS = [
    Report(
        image="registry.example/" + "long/" * 20 + "name:tag", libos=profile.libos,
        libos_version=profile.version, title=profile.title,
        findings=(ERROR, *WARNINGS) if profile.libos == "occlum" else WARNINGS[:number], advice=ADVICE,
    )
    for number, profile in enumerate(builtin_profiles())
]  # fmt: skip


def drawn(reports: Sequence[Report], *, color: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=color, highlight=False, _environ={})
    draw_table(reports, console) if len(reports) > 1 else draw_findings(reports, console)
    return output.getvalue()


@pytest.mark.parametrize("reports", [REPORTS, REPORTS[-1:]], ids=["table", "findings"])
def test_no_line_is_longer_than_the_terminal(reports: list[Report]) -> None:
    assert max(map(len, drawn(reports).splitlines())) <= 80


def test_the_table_has_a_row_for_each_profile_and_ends_with_the_choice() -> None:
    lines = drawn(REPORTS).splitlines()
    for report in REPORTS:
        assert any(line.startswith(report.title) and report.verdict.value in line for line in lines)
    assert "best: builtin (3 of 10 profiles run the image; builtin does without a warning)" in lines


def test_where_none_runs_the_errors_of_the_nearest_are_shown() -> None:
    failing = [report for report in REPORTS if report.libos == "occlum"]
    text = drawn(failing)
    assert "none runs the image; what Occlum 0.18.1 lacks:" in text
    assert text.count("link it dynamically") == 1


def test_findings_come_with_remedies_advice_and_verdict() -> None:
    text = drawn([replace(REPORTS[-1], silenced=2)])
    assert "[red]is static" in text
    assert "→ link it dynamically" in text
    assert "kernel heap 32M" in text
    assert "2 findings" in text
    assert "Occlum 0.31.0 (Ubuntu 22.04): does not run: " in text


def test_colours_are_left_out_if_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = io.StringIO()
    draw_table(REPORTS, Console(file=output, force_terminal=True, width=80, color_system="standard"))
    assert "\x1b[31m" in output.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = io.StringIO()
    draw_table(REPORTS, Console(file=plain, force_terminal=True, width=80, color_system="standard"))
    assert "\x1b[3" not in plain.getvalue()
