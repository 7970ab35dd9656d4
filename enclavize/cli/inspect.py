"""``enclavize inspect``."""

import sys
from typing import Annotated

import typer

from enclavize.cli.choices import Progress
from enclavize.progress.mode import ProgressMode


def inspect(
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A TEE image.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="table|json|FIELD", help="FIELD is a name of the JSON form: mrenclave."
        ),
    ] = "table",
    progress: Progress = ProgressMode.AUTO,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Show what a TEE image says about itself. Nothing is verified: see verify."""
    from enclavize.cli.present import present
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.inspect import inspect_image
    from enclavize.progress.renderer import reporting

    with reporting(progress) as reporter:
        facts = inspect_image(parse_location(image), insecure=insecure, reporter=reporter)
    sys.stdout.write(present(facts, form))
