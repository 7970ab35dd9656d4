"""``enclavize doctor``."""

import os
import sys
from typing import Annotated

import typer

from enclavize.cli.choices import ListFormat

_COLOURS = {"ok": "\033[32m", "warning": "\033[33m", "error": "\033[31m"}


def doctor(
    *,
    form: Annotated[ListFormat, typer.Option("--format", help="Form of the output.")] = ListFormat.TABLE,
) -> None:
    """Tell what this machine has and lacks to run TEE containers. Ends with 1 if nothing can run."""
    import json
    from dataclasses import asdict

    from enclavize.node.doctor import Status, diagnose

    findings = list(diagnose())
    if form is ListFormat.JSON:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for finding in findings:
            mark = finding.status.value.ljust(len(Status.WARNING))
            shown = f"{_COLOURS[finding.status]}{mark}\033[0m" if coloured else mark
            sys.stdout.write(f"{shown}  {finding.name.ljust(12)}  {finding.text}\n")
            if finding.fix:
                sys.stdout.write(f"{'':9}{'':14}  {finding.fix}\n")
    if any(finding.status is Status.ERROR for finding in findings):
        raise typer.Exit(1)
