"""``enclavize toolchain``: the files of LibOSes that are not ours."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import LibOS, ListFormat, Progress, ToolchainLibOS
from enclavize.progress.mode import ProgressMode

toolchain = typer.Typer(
    help="Look at the files of Gramine and Occlum that builds take, and keep them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Source = Annotated[
    str,
    typer.Argument(
        metavar="TOOLCHAIN", help="An install prefix, an image as for build, or the name of a kept toolchain."
    ),
]
OneLibOS = Annotated[
    ToolchainLibOS | None, typer.Option("--libos", help="Which LibOS, where there are several.")
]
Form = Annotated[ListFormat, typer.Option("--format", help="Form of the output.")]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
]


@toolchain.command()
def inspect(
    *,
    source: Source,
    libos: OneLibOS = None,
    form: Form = ListFormat.TABLE,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Show which LibOS a toolchain holds, in which version, and its files. Nothing in it is executed."""
    from enclavize.cli.present import present, table
    from enclavize.pipeline.toolchain import inspect_toolchain
    from enclavize.progress.renderer import reporting

    with reporting(progress) as reporter:
        facts = inspect_toolchain(
            source, libos.canonical if libos else None, insecure=insecure, reporter=reporter
        )
    if form is ListFormat.JSON:
        sys.stdout.write(present(facts, "json"))
        return
    files = facts.pop("files")
    missing = facts.pop("missing")
    sys.stdout.write(present(facts, "table") + "\n")
    sys.stdout.write(table(files, ("path", "size", "digest", "link")))
    for path in missing:
        sys.stdout.write(f"missing: {path}\n")


@toolchain.command(name="import")
def import_(
    *,
    source: Source,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it from now on.")],
    libos: OneLibOS = None,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Copy the files of a toolchain into the user's data folder, for --toolchain NAME."""
    from enclavize.pipeline.toolchain import import_toolchain
    from enclavize.progress.renderer import reporting

    with reporting(progress) as reporter:
        imported = import_toolchain(
            source, name, libos.canonical if libos else None, insecure=insecure, reporter=reporter
        )
    sys.stdout.write(f"{name}: {imported.title}, sha256:{imported.digest}\n")


@toolchain.command()
def digests(
    *,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOOLCHAIN]", help="As for inspect; without it, what is installed on this machine."
        ),
    ] = None,
    libos: Annotated[
        LibOS | None,
        typer.Option("--libos", help="Which LibOS; 'builtin': the runelet of this command."),
    ] = None,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Write the digests of the files that run outside of enclaves, for --host-files of verify and run."""
    from enclavize.pipeline.toolchain import host_file_digests
    from enclavize.progress.renderer import reporting

    with reporting(progress) as reporter:
        text = host_file_digests(
            source, libos.canonical if libos else None, insecure=insecure, reporter=reporter
        )
    sys.stdout.write(text)


@toolchain.command()
def pal(
    *,
    prefix: Annotated[
        Path, typer.Argument(metavar="PREFIX", help="Where Occlum is installed on this machine.")
    ],
    simulation: Annotated[
        bool, typer.Option("--simulation", help="The PAL for images that were built with --sgx-mode SIM.")
    ] = False,
    library: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A library that the PAL loads by itself, besides what it names."),
    ] = None,
    progress: Progress = ProgressMode.AUTO,
) -> None:
    """Write the list of a PAL and of all that it needs, for pals of rune's settings."""
    from enclavize.progress.renderer import reporting
    from enclavize.rune.pal_list_writer import write_pal_list

    with reporting(progress) as reporter:
        text = write_pal_list(prefix, simulation=simulation, libraries=library or [], reporter=reporter)
    sys.stdout.write(text)


@toolchain.command(name="list")
def list_(*, form: Form = ListFormat.TABLE) -> None:
    """List the toolchains that are kept."""
    import json

    from enclavize.cli.present import table
    from enclavize.pipeline.toolchain import kept_toolchains

    found = kept_toolchains()
    if form is ListFormat.JSON:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        sys.stdout.write(table(found, ("name", "libos", "version", "size", "origin")))


@toolchain.command()
def rm(*, name: Annotated[str, typer.Argument(metavar="NAME", help="A kept toolchain.")]) -> None:
    """Forget a toolchain, and remove its files."""
    from enclavize.libos.toolchain.kept import remove

    remove(name)
