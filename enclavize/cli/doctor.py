"""``enclavize doctor``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from enclavize.cli.choices import ListFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.node.doctor import Finding, Status
    from enclavize.node.selftest import Step

_MARK_WIDTH = len("warning")
_COLOURS = {"ok": "\033[32m", "warning": "\033[33m", "error": "\033[31m"}


def doctor(
    *,
    form: Annotated[ListFormat, typer.Option("--format", help="Form of the output.")] = ListFormat.TABLE,
    selftest: Annotated[
        bool,
        typer.Option(
            "--selftest",
            help="Try on SGX hardware, step by step, what only hardware can show. Ends with 1 unless each "
            "step was tried and passed.",
        ),
    ] = False,
) -> None:
    """Tell what this machine has and lacks to run TEE containers. Ends with 1 if nothing can run."""
    from enclavize.node.doctor import Status, diagnose

    if selftest:
        _selftest(form)
        return
    findings = list(diagnose())
    if form is ListFormat.JSON:
        _put_json(findings)
    else:
        for finding in findings:
            _put_line(finding.status, finding.name, finding.text, finding.fix)
    if any(finding.status is Status.ERROR for finding in findings):
        raise typer.Exit(1)


def _selftest(form: ListFormat) -> None:
    from enclavize.node.selftest import is_shown, selftest, shown

    steps = []
    for step in selftest():
        steps.append(step)
        if form is not ListFormat.JSON:
            _put_line(step.status, step.name, step.text, f"settles: {step.settles}", step.fix)
            sys.stdout.flush()
    if form is ListFormat.JSON:
        _put_json(steps)
    else:
        shown(steps, sys.stdout.write)
    if not is_shown(steps):
        raise typer.Exit(1)


def _put_json(items: Sequence[Finding | Step]) -> None:
    import json
    from dataclasses import asdict

    sys.stdout.write(json.dumps([asdict(item) for item in items], indent=2) + "\n")


def _put_line(status: Status, name: str, text: str, *more: str) -> None:
    mark = status.value.ljust(_MARK_WIDTH)
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown = f"{_COLOURS[status.value]}{mark}\033[0m" if coloured else mark
    sys.stdout.write(f"{shown}  {name.ljust(12)}  {text}\n")
    for line in filter(None, more):
        sys.stdout.write(f"{'':9}{'':14}  {line}\n")
