"""``enclavize node``: the daemon that converts ordinary images for rune, and questions to it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import ListFormat, ShareChoice
from enclavize.cli.key_options import Ca, Certificate, Service, TokenFile
from enclavize.cli.passphrase import PassphraseFile
from enclavize.node.places import CACHE, DOCKER_HOST, RULES, SOCKET

node = typer.Typer(
    help="Convert ordinary images on the node where they run.", no_args_is_help=True, rich_markup_mode=None
)

Socket = Annotated[Path, typer.Option(metavar="PATH", help="Where the daemon listens.")]
Form = Annotated[ListFormat, typer.Option("--format", help="Form of the output.")]


@node.command()
def serve(
    *,
    socket: Socket = SOCKET,
    rules: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Rules: which images, with which options.")
    ] = RULES,
    cache: Annotated[Path, typer.Option(metavar="FOLDER", help="Where conversions are kept.")] = CACHE,
    max_size: Annotated[str, typer.Option(metavar="SIZE", help="Their bound.")] = "10G",
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Conversions at one time.")] = 2,
    docker_host: Annotated[str, typer.Option(metavar="URL", help="Where dockerd answers.")] = DOCKER_HOST,
    fetch_layers: Annotated[
        bool,
        typer.Option(
            "--fetch-layers", help="Fetch layers that containerd has thrown away from the image's registry."
        ),
    ] = False,
    referrers: Annotated[
        ShareChoice | None,
        typer.Option(
            help="Take signatures from converted images that refer to the original; push these, too."
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY.pem|pkcs11:URI", help="Private key, if no service signs.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    signer: Service = None,
    signer_token_file: TokenFile = None,
    signer_certificate: Certificate = None,
    signer_ca: Ca = None,
) -> None:
    """Convert images for rune until SIGTERM. Needs root."""
    import os
    import signal
    from contextlib import closing, suppress

    from enclavize.cli.grammar.configured import Configured
    from enclavize.cli.grammar.configured_options import options_of_file
    from enclavize.cli.grammar.signer import parse_signer
    from enclavize.cli.grammar.size import parse_size
    from enclavize.errors import UsageError
    from enclavize.node.daemon import NOWHERE, Daemon, NodeSettings, listen
    from enclavize.node.engines.peer import EngineSettings
    from enclavize.node.rules import load_rules
    from enclavize.node.sharing import Share
    from enclavize.node.toolchains import check_rule
    from enclavize.node.trees import Trees
    from enclavize.oci.platform import LINUX_AMD64

    who = parse_signer(
        key=key,
        passphrase_file=passphrase_file,
        passphrase_env=None,
        passphrase_fd=None,
        service=signer,
        token_file=signer_token_file,
        ca=signer_ca,
        certificate=signer_certificate,
        unsigned=False,
    )
    if who is None:
        raise UsageError(
            "nobody signs the node's enclaves", hint="add --signer https://HOST, or --key KEY.pem"
        )
    if os.geteuid() != 0:
        raise UsageError("the node's daemon reads what engines keep for root alone", hint="run it as root")
    settings = NodeSettings(
        socket=socket,
        rules=rules,
        jobs=jobs,
        engines=EngineSettings(docker_host=docker_host, fetch_layers=fetch_layers),
        options_of=lambda configuration, source: options_of_file(
            Configured(configuration), source=source, platform=LINUX_AMD64, signer=who
        ),
        share=Share(referrers.value) if referrers else None,
    )
    for rule in load_rules(rules):  # a mistake is better told now than to the first pod
        check_rule(settings.options_of(rule.configuration, NOWHERE), rule.name)
    with closing(Trees(cache, parse_size(max_size))) as trees, listen(socket) as listener:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        sys.stderr.write(f"listening at {socket}\n")
        with suppress(KeyboardInterrupt):
            Daemon(settings, trees).serve(listener)
        socket.unlink(missing_ok=True)
    os._exit(0)  # a conversion under way ends with the process; the next daemon removes what is left


@node.command()
def status(*, socket: Socket = SOCKET, form: Form = ListFormat.TABLE) -> None:
    """Show what the daemon has converted, and who signed it."""
    from enclavize.cli.present import present, table
    from enclavize.node.protocol import ask
    from enclavize.progress.units import format_size

    facts = ask(socket, operation="status")["status"]
    if form is ListFormat.JSON:
        sys.stdout.write(present(facts, "json"))
        return
    rows = [
        {
            "key": item["key"][:12],
            "image": item.get("image", {}).get("name", ""),
            "rule": item.get("rule", ""),
            "mrenclave": item.get("mrenclave", "")[:16],
            "size": format_size(item["size"]),
            "in use": "yes" if item["in_use"] else "",
        }
        for item in facts["conversions"]
    ]
    sys.stdout.write(table(rows, ("key", "image", "rule", "mrenclave", "size", "in use")))


@node.command()
def forget(
    *,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY...", help="Keys of conversions, or their beginnings.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that no container has.")] = False,
    socket: Socket = SOCKET,
    form: Form = ListFormat.TABLE,
) -> None:
    """Drop conversions, but for those that containers have."""
    from enclavize.cli.present import present
    from enclavize.errors import UsageError
    from enclavize.node.protocol import ask

    if bool(keys) == everything or not all(keys or [" "]):
        if not everything:
            raise UsageError("nobody said which conversions", hint="give keys, or --all")
        raise UsageError("keys and --all contradict each other")
    answer = ask(socket, operation="forget", keys=keys or [""])
    facts = {"forgotten": answer["forgotten"], "in_use": answer["in_use"]}
    if form is ListFormat.JSON:
        sys.stdout.write(present(facts, "json"))
        return
    sys.stdout.write("".join(f"forgot {key}\n" for key in facts["forgotten"]))
    sys.stderr.write("".join(f"in use: {key}\n" for key in facts["in_use"]))
