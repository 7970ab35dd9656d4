"""``enclavize policy``: the rules by which a node converts ordinary images."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.measure import Named, Namespace

policy = typer.Typer(
    help="Look at the rules by which a node converts images.", no_args_is_help=True, rich_markup_mode=None
)


@policy.callback()
def group() -> None:
    """Look at the rules by which a node converts images."""


@policy.command()
def check(
    *,
    path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="Rules, such as /etc/rune/convert.d.")],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image, as build takes it.")],
    named: Named = None,
    namespace: Namespace = "",
    form: Annotated[
        str, typer.Option("--format", metavar="table|json|FIELD", help="FIELD: rule, options.policy.args.")
    ] = "table",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Tell which rule takes an image, and with which options it is converted. All rules are read."""
    from enclavize.cli.grammar.configured import Configured
    from enclavize.cli.grammar.configured_options import options_of_file
    from enclavize.cli.present import present
    from enclavize.node.chosen import chosen_rule
    from enclavize.node.toolchains import check_rule
    from enclavize.oci.location import parse_location
    from enclavize.oci.platform import LINUX_AMD64
    from enclavize.pipeline.options import NoSigner
    from enclavize.pipeline.statement import options_statement

    source = parse_location(image)
    rule = chosen_rule(path, source, LINUX_AMD64, named=named, namespace=namespace, insecure=insecure)
    options = options_of_file(
        Configured(rule.configuration), source=source, platform=LINUX_AMD64, signer=NoSigner()
    )
    check_rule(options, rule.name)
    facts = {
        "rule": rule.name,
        "libos": options.libos,
        **({"toolchain": options.toolchain} if options.toolchain else {}),
        "production": options.strict,
        "force": list(options.forced),
        "isvprodid": options.signing.isv_prod_id,
        "isvsvn": options.signing.isv_svn,
        "options": options_statement(options, options.libos),
    }
    sys.stdout.write(present(facts, form))
