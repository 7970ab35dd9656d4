"""``enclavize measure``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import LibOS, Platform, Progress
from enclavize.progress.mode import ProgressMode

Namespace = Annotated[
    str, typer.Option(metavar="NAMESPACE", help="Namespace of the pod, for the rule's [match].")
]
Named = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="The name that the node's engine has for the image."),
]


def measure(
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image, as build takes it.")],
    policy_of: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER", help="Rules of a node, /etc/rune/convert.d: as it would convert."
        ),
    ] = None,
    named: Named = None,
    namespace: Namespace = "",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Options in a file, such as enclavize.toml.")
    ] = None,
    libos: Annotated[LibOS | None, typer.Option(help="As of build.")] = None,
    toolchain: Annotated[str | None, typer.Option(metavar="PREFIX|IMAGE|NAME", help="As of build.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Measure what a debug image would have.")] = False,
    platform: Platform = "linux/amd64",
    form: Annotated[
        str, typer.Option("--format", metavar="table|json|FIELD", help="FIELD: mrenclave, for example.")
    ] = "table",
    progress: Progress = ProgressMode.QUIET,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Tell the MRENCLAVE that a build of an image has, without a key and without SGX."""
    from enclavize.cli.grammar.configured import Configured
    from enclavize.cli.grammar.configured_options import options_of_file
    from enclavize.cli.present import present
    from enclavize.errors import UsageError
    from enclavize.oci.location import parse_location
    from enclavize.oci.platform import parse_sgx_platform
    from enclavize.pipeline.measure import measure_image
    from enclavize.pipeline.options import NoSigner
    from enclavize.progress.renderer import reporting

    source, sgx_platform = parse_location(image), parse_sgx_platform(platform)
    rule = None
    if policy_of is not None:
        from enclavize.node.chosen import chosen_rule

        if config is not None:
            raise UsageError("--config and --policy-of contradict each other")
        rule = chosen_rule(
            policy_of, source, sgx_platform, named=named, namespace=namespace, insecure=insecure
        )
    options = options_of_file(
        Configured(rule.configuration) if rule else Configured.load(config),
        source=source,
        platform=sgx_platform,
        signer=NoSigner(),
        debug=debug,
        libos=libos,
        toolchain=toolchain,
        insecure=insecure,
    )
    if rule:
        from enclavize.node.toolchains import check_libos

        check_libos(options, rule.name)
    with reporting(progress) as reporter:
        facts = measure_image(options, reporter)
    sys.stdout.write(present({**facts, **({"rule": rule.name} if rule else {})}, form))
