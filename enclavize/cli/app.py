"""The ``enclavize`` command line: global options, and one module for each command."""

from typing import Annotated

import typer

from enclavize.cli.build import build
from enclavize.cli.cache import cache
from enclavize.cli.check import check
from enclavize.cli.diff import diff
from enclavize.cli.doctor import doctor
from enclavize.cli.explain import explain
from enclavize.cli.inspect import inspect
from enclavize.cli.keygen import keygen
from enclavize.cli.measure import measure
from enclavize.cli.node import node
from enclavize.cli.occlum import occlum
from enclavize.cli.policy import policy
from enclavize.cli.resolve import resolve
from enclavize.cli.run import DESCRIPTION
from enclavize.cli.run import run as run_image
from enclavize.cli.setup import setup
from enclavize.cli.sign import sign
from enclavize.cli.signer import signer
from enclavize.cli.state import state
from enclavize.cli.toolchain import toolchain
from enclavize.cli.verify import verify
from enclavize.cli.version import show_version, version

app = typer.Typer(
    help="Turn OCI images into TEE images and run them inside Intel SGX enclaves.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@app.callback()
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
    raise typer.Exit(run_image(context.args))


for command in (keygen, build, check, explain, inspect, measure, resolve, verify, diff, doctor):
    app.command()(command)
app.command(
    help=DESCRIPTION,
    add_help_option=False,
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "allow_interspersed_args": False,
    },
)(run)
app.command()(version)
app.add_typer(cache, name="cache")
app.add_typer(node, name="node")
app.add_typer(occlum, name="occlum")
app.add_typer(policy, name="policy")
app.add_typer(setup, name="setup")
app.add_typer(sign, name="sign")
app.add_typer(signer, name="signer")
app.add_typer(toolchain, name="toolchain")
