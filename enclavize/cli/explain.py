"""``enclavize explain``."""

import sys
from typing import Annotated

import typer


def explain(
    *,
    code: Annotated[
        str | None,
        typer.Argument(metavar="[CODE]", help="Code of a finding, such as OCC008. Without it: all codes."),
    ] = None,
) -> None:
    """Explain a finding of check."""
    from enclavize.compat.codes import explain as explain_code
    from enclavize.compat.codes import list_codes

    sys.stdout.write(explain_code(code) if code else list_codes())
