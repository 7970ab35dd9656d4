"""``enclavize version``."""

import sys

import typer

from enclavize import __version__


def version() -> None:
    """Show the version."""
    sys.stdout.write(f"enclavize {__version__}\n")


def show_version(wanted: bool) -> None:
    """Serve ``enclavize --version``."""
    if wanted:
        version()
        raise typer.Exit
