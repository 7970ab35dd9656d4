"""``enclavize run``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

CONTEXT = {"allow_interspersed_args": False}
"""Settings of the command: what follows the image is the program's, options too."""

AFTER_IMAGE = "--simulate"
"""The one option that may also stand directly after the image; given before it, it is the program's there."""


class LogLevel(StrEnum):
    """What the runelet and the LibOS say on standard error."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    DEBUG = "debug"
    TRACE = "trace"


class ProfileForm(StrEnum):
    """A table as ``strace -c`` prints it, or one line of JSON."""

    TEXT = "text"
    JSON = "json"


class Network(StrEnum):
    """A network namespace of its own, or the host's."""

    NONE = "none"
    HOST = "host"


def run(
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A TEE image, named as for build.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGUMENT", help="For the program, if the image allows arguments."),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Run in simulation, without SGX. It protects nothing.")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive", help="Keep standard input open.")
    ] = False,
    terminal: Annotated[bool, typer.Option("-t", "--tty", help="Give the program a terminal.")] = False,
    env: Annotated[
        list[str] | None,
        typer.Option("-e", "--env", metavar="NAME[=VALUE]", help="Set a variable, if the image allows it."),
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option("-v", "--volume", metavar="HOST:PATH[:ro]", help="Give a path, if the image opens it."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the container.")] = None,
    remove: Annotated[
        bool, typer.Option("--rm", help="Remove the container at its end. This is always done.")
    ] = True,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="What to say; above 'error' the enclave needs a debug image.")
    ] = None,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Print each system call as strace does. Debug images only."),
    ] = False,
    profile: Annotated[
        ProfileForm | None,
        typer.Option(
            help="Print at the end how often and how long system calls and OCALLs took, and how often each "
            "left the enclave. Debug images only."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where --trace and --profile go; without it, to standard error.",
            dir_okay=False,
        ),
    ] = None,
    signer: Annotated[
        list[str] | None,
        typer.Option(metavar="PUB.pem|MRSIGNER", help="A signer that is trusted; without it, all are."),
    ] = None,
    toolchain: Annotated[
        str | None,
        typer.Option(
            metavar="TOOLCHAIN",
            help="What runs outside of the enclave must be of this toolchain: an install prefix, an image or "
            "a kept one.",
        ),
    ] = None,
    host_files: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What runs outside of the enclave must have the digests of this file, which 'enclavize "
            "toolchain digests' writes. Of several files one must fit.",
        ),
    ] = None,
    network: Annotated[Network, typer.Option(help="Network of the container.")] = Network.NONE,
    publish: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--publish",
            metavar="[[ADDRESS:]PORT:]PORT",
            help="Forward the machine's port to the container's (TCP).",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Run a TEE image in its enclave. Needs runc, and no daemon."""
    from enclavize.cli.grammar.cache_bound import cache_bound
    from enclavize.cli.grammar.publish import parse_published
    from enclavize.errors import EnclavizeError, UsageError
    from enclavize.oci.location import parse_location
    from enclavize.progress.mode import ProgressMode
    from enclavize.progress.renderer import reporting
    from enclavize.rune.run import RunOptions, unpack
    from enclavize.rune.run import run as run_image
    from enclavize.rune.supervise import EXIT_NOT_STARTED
    from enclavize.tee.host_files import read_host_files

    del remove
    program_arguments = list(arguments or ())
    if not simulate and program_arguments[:1] == [AFTER_IMAGE]:
        simulate = True
        del program_arguments[0]
    try:
        if report and not (trace or profile):
            raise UsageError("--report says where --trace and --profile go: neither is there")
        ports = parse_published(publish or (), host_network=network is Network.HOST)
        options = RunOptions(
            image=parse_location(image),
            arguments=tuple(program_arguments),
            environment=tuple(filter(None, map(_variable, env or ()))),
            volumes=tuple(map(_volume, volume or ())),
            name=name,
            simulate=simulate,
            log_level=log_level.value if log_level else "",
            trace=trace,
            profile=profile.value if profile else "",
            report=report,
            mrsigners=_mrsigners(signer or []),
            toolchain=toolchain,
            host_files=tuple(map(read_host_files, host_files or ())),
            stdin=interactive,
            terminal=terminal,
            host_network=network is Network.HOST,
            published=ports,
            insecure=insecure,
        )
        tree = unpack(options, cache_bound(), lambda: reporting(ProgressMode.AUTO))
        raise typer.Exit(run_image(options, tree))
    except EnclavizeError as error:
        error.exit_code = EXIT_NOT_STARTED
        raise


def _variable(text: str) -> str:
    """Parse ``NAME=VALUE``, or ``NAME`` with the caller's value, as docker does; empty if there is none."""
    import os

    from enclavize.errors import UsageError

    name, equals, _ = text.partition("=")
    if not name or "\0" in text:
        raise UsageError(f"--env {text!r} is not of the form NAME=VALUE")
    if name.startswith("ENCLAVIZE_"):
        raise UsageError(f"--env {name}: this name is the runelet's own", hint="see the options of run")
    if not equals and name not in os.environ:
        return ""
    return text if equals else f"{name}={os.environ[name]}"


def _volume(text: str) -> tuple[Path, str, bool]:
    from enclavize.errors import UsageError

    source, _, rest = text.partition(":")
    path, colon, mode = rest.partition(":")
    if not source or not path or (colon and mode not in ("ro", "rw")):
        raise UsageError(f"--volume {text!r} is not of the form HOST:PATH[:ro]")
    return Path(source), path, mode == "ro"


def _mrsigners(texts: list[str]) -> tuple[bytes, ...]:
    """Read keys and hashes as ``verify`` does."""
    from enclavize.cli.grammar.expectations import parse_expectations

    wanted = parse_expectations(
        signers=texts, measurements=[], isv_prod_id=None, min_svn=None, allow_debug=True,
        allow_any_signer=False, policy=None,
    )  # fmt: skip
    return tuple(map(bytes.fromhex, sorted(wanted.signers)))
