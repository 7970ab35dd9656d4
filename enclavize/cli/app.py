"""The ``enclavize`` command line: global options, and one module for each command."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enclavize.cli.state import state
from enclavize.cli.version import show_version

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    *("keygen", "build", "check", "explain", "inspect", "measure", "resolve", "verify", "diff", "doctor"),
    *("run", "version"),
)
GROUPS = ("cache", "node", "occlum", "policy", "setup", "sign", "signer", "toolchain")
"""Commands of commands. All are in modules of their names, in objects of the same names."""


def app_for(words: Sequence[str]) -> typer.Typer:
    """Return the command line, as far as ``words`` need it: all of it takes time, and one command is run."""
    app = typer.Typer(
        help="Turn OCI images into TEE images and run them inside Intel SGX enclaves.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(options)
    wanted = next((word for word in words if not word.startswith("-")), "")
    known = (*COMMANDS, *GROUPS)
    for name in (wanted,) if wanted in known else known:
        _add(app, name)
    return app


def _add(app: typer.Typer, name: str) -> None:
    if name == "run":
        from enclavize.cli.run import DESCRIPTION

        app.command(
            help=DESCRIPTION,
            add_help_option=False,
            context_settings={
                "ignore_unknown_options": True,
                "allow_extra_args": True,
                "allow_interspersed_args": False,
            },
        )(run)
        return
    found: Any = getattr(import_module(f"enclavize.cli.{name}"), name)
    if name in GROUPS:
        app.add_typer(found, name=name)
    else:
        app.command()(found)


def options(
    *,
    traceback: Annotated[bool, typer.Option("-D", "--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version.")
    ] = False,
) -> None:
    """Turn OCI images into TEE images and run them inside Intel SGX enclaves."""
    del version
    state.show_traceback = traceback


def run(context: typer.Context) -> None:
    """Hand over to the parser of ``run``; without an option before it, ``__main__`` goes there directly."""
    from enclavize.cli.run import run as run_image

    raise typer.Exit(run_image(context.args))
