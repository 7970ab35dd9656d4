"""``enclavize explain``."""

import sys
from typing import Annotated

import typer


def explain(
    *, code: Annotated[str, typer.Argument(metavar="CODE", help="Code of a finding, such as OCC008.")]
) -> None:
    """Explain a finding of check."""
    from enclavize.compat.codes import explain as explain_code

    sys.stdout.write(explain_code(code))
