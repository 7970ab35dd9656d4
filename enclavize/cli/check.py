"""``enclavize check``."""

import sys
from typing import Annotated

import typer

from enclavize.cli.choices import LibOS, Progress, ReportFormat
from enclavize.progress.mode import ProgressMode


def check(
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image, as for build.")],
    libos: Annotated[LibOS, typer.Option(help="The library operating system.")] = LibOS.BUILTIN,
    report_format: Annotated[
        ReportFormat, typer.Option("--format", help="Form of the report.")
    ] = ReportFormat.TABLE,
    progress: Progress = ProgressMode.AUTO,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Tell whether a LibOS can run an image. Exit code 3 if it cannot."""
    from enclavize.errors import IncompatibleImageError
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.check import check_image
    from enclavize.progress.renderer import reporting

    with reporting(progress) as reporter:
        report = check_image(parse_location(image), libos.value, insecure=insecure, reporter=reporter)
    sys.stdout.write(report.to_json() if report_format is ReportFormat.JSON else report.to_text())
    if report.errors:
        raise typer.Exit(IncompatibleImageError.exit_code)
