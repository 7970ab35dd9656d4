"""``enclavize check``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclavize.cli.choices import Platform, Progress, ReportFormat, canonical_libos
from enclavize.cli.execution_options import Cmd, Entrypoint, Env, Expose, User, VolumeOfImage, Workdir
from enclavize.progress.mode import ProgressMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.oci.location import Location


def check(
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image, as for build.")],
    libos: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@VERSION]",
            help="The library operating system: builtin, gramine, occlum. Without it, all are compared.",
        ),
    ] = None,
    toolchain: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX|IMAGE|NAME", help="Check for the version of Gramine or Occlum that is there."
        ),
    ] = None,
    profile: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A profile of a LibOS; see docs/check.md.")
    ] = None,
    report_format: Annotated[
        ReportFormat, typer.Option("--format", help="Form of the report.")
    ] = ReportFormat.TABLE,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE[:PATTERN]", help="Leave out findings, of files that match PATTERN."),
    ] = None,
    tmpfs: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A folder in memory, as for build: it can be written."),
    ] = None,
    volume: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A volume, as for build: it can be written.")
    ] = None,
    platform: Platform = "linux/amd64",
    progress: Progress = ProgressMode.AUTO,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
    entrypoint: Entrypoint = None,
    cmd: Cmd = None,
    env: Env = None,
    workdir: Workdir = None,
    user: User = None,
    expose: Expose = None,
    volume_of_image: VolumeOfImage = None,
) -> None:
    """Tell whether a LibOS can run an image. Exit code 3 if it cannot, or if none can."""
    from enclavize.cli.grammar.execution import parse_source

    location = parse_source(
        image,
        entrypoint=entrypoint,
        cmd=cmd,
        env=env,
        workdir=workdir,
        user=user,
        expose=expose,
        volumes=volume_of_image,
    )
    check_location(
        location,
        libos=libos,
        toolchain=toolchain,
        profiles=profile or (),
        report_format=report_format,
        strict=strict,
        ignore=ignore or (),
        writable=(*(tmpfs or ()), *(volume or ())),
        platform=platform,
        progress=progress,
        insecure=insecure,
    )


def check_location(
    location: "Location",
    *,
    libos: str | None,
    toolchain: str | None,
    ignore: "Sequence[str]",
    writable: "Sequence[str]",
    platform: str,
    progress: ProgressMode,
    insecure: bool,
    profiles: "Sequence[Path]" = (),
    report_format: ReportFormat = ReportFormat.TABLE,
    strict: bool = False,
) -> None:
    """Check an image and print the report; the options are in the user's words. Raises typer.Exit."""
    from enclavize.cli.grammar.silence import parse_silences
    from enclavize.compat import output
    from enclavize.compat.profile import builtin_profiles, load_profile, profile_for
    from enclavize.compat.report import Verdict
    from enclavize.errors import IncompatibleImageError
    from enclavize.oci.platform import parse_sgx_platform
    from enclavize.pipeline.check import check_image
    from enclavize.pipeline.toolchain import toolchain_profile
    from enclavize.progress.renderer import is_terminal, reporting

    silences = parse_silences(ignore)
    given = [load_profile(path) for path in profiles]
    libos = canonical_libos(libos) if libos is not None else None
    if toolchain is not None:
        with reporting(progress) as reporter:
            wanted = [toolchain_profile(toolchain, libos, given, insecure=insecure, reporter=reporter)]
        sys.stderr.write(f"{toolchain} is checked as {wanted[0].title}\n")
    elif libos is not None:
        wanted = [profile_for(libos, given)]
        if "@" not in libos and wanted[0].title != libos:
            sys.stderr.write(f"{libos} means {wanted[0].title}, the newest profile\n")
    else:
        wanted = given or list(builtin_profiles())
    sgx_platform = parse_sgx_platform(platform)
    with reporting(progress) as reporter:
        found = check_image(
            location,
            wanted,
            platform=sgx_platform,
            insecure=insecure,
            reporter=reporter,
            writable=[path.partition(":")[0] for path in writable],
        )
    reports = tuple(report.without(silences) for report in found)
    if report_format is ReportFormat.TABLE and is_terminal(sys.stdout):
        from rich.console import Console

        from enclavize.compat.terminal import draw_findings, draw_table

        draw = draw_table if len(reports) > 1 else draw_findings
        draw(reports, Console(file=sys.stdout, highlight=False))
    else:
        form = {
            ReportFormat.TABLE: output.to_table if len(reports) > 1 else output.to_text,
            ReportFormat.JSON: output.to_json,
            ReportFormat.SARIF: output.to_sarif,
            ReportFormat.GITHUB: output.to_github,
        }[report_format]
        sys.stdout.write(form(reports))
    accepted = {Verdict.RUNS} if strict else {Verdict.RUNS, Verdict.DOUBTFUL}
    if not any(report.verdict in accepted for report in reports):
        raise typer.Exit(IncompatibleImageError.exit_code)
