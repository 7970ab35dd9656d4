"""``enclavize run``.

Its command line is read by argparse, and not by typer, which takes longer to load than a container to start.
"""

from __future__ import annotations

import argparse
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from enclavize.errors import EnclavizeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from enclavize.progress import Reporter
    from enclavize.rune.publish import PublishedPort
    from enclavize.rune.sgx_devices import Device
    from enclavize.tee.host_files import HostFiles

SIMULATIONS = {
    "--simulate": ("", "Run in simulation, without SGX. It protects nothing."),
    "--simulate=strict": (
        "trap",
        "The same; what an SGX CPU and its driver refuse is refused, too (builtin LibOS). Slower.",
    ),
    "--simulate=step": (
        "step",
        "The same, and each instruction is looked at. Some thousand times slower.",
    ),
}
"""How the CPU's instruction for enclaves is simulated (the PAL's ``enclu=``), and the help.

The one option that may also stand directly after the image; given before it, it is the program's there.
"""

DESCRIPTION = "Run a TEE image in its enclave. Needs runc, and no daemon."

LOG_LEVELS = ("error", "warning", "info", "debug", "trace")
PROFILE_FORMS = ("text", "json")
NETWORKS = ("none", "host")
_WIDTH = 110


_VALUE_OF_A_FLAG = re.compile(r"argument (?:\S+/)?(--[a-z-]+): ignored explicit argument (.*)")
"""What argparse says of a value that an option does not take."""


_UNRECOGNIZED = "unrecognized arguments: "
_MEASURED = frozenset({"-u", "--user", "-w", "--workdir", "--entrypoint", "--hostname"})
_BACKGROUND = frozenset({"-d", "--detach"})
"""Options of ``docker run``."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if match := _VALUE_OF_A_FLAG.fullmatch(message):
            flag, value = match.groups()
            forms = [name for name in SIMULATIONS if name.startswith(f"{flag}=")]
            message = f"{flag} has no value {value}" if forms else f"{flag} takes no value, {value} was given"
            raise UsageError(message, hint=f"there is {', '.join([flag, *forms])}")
        unknown = {word.partition("=")[0] for word in message.removeprefix(_UNRECOGNIZED).split()}
        hint = "enclavize run --help"
        if unknown & _MEASURED:
            hint = "user, folder, entrypoint and host name are measured: the image and its build decide them"
        elif unknown & _BACKGROUND:
            hint = "it runs in the foreground; docker run --runtime rune goes on by itself"
        raise UsageError(message, hint=hint)


def run(words: Sequence[str]) -> int:
    """Read what follows ``run`` and do it; return the exit code. Raises EnclavizeError."""
    from enclavize.rune.supervise import EXIT_NOT_STARTED

    given = _parser().parse_args(list(words))
    if given.simulate is None and given.arguments and given.arguments[0] in SIMULATIONS:
        given.simulate, _ = SIMULATIONS[given.arguments.pop(0)]
    try:
        return _run(given)
    except EnclavizeError as error:
        error.exit_code = EXIT_NOT_STARTED
        raise


def _run(given: argparse.Namespace) -> int:
    from enclavize.oci.location import parse_location
    from enclavize.rune.capabilities import chosen_capabilities
    from enclavize.rune.run import RunOptions, unpack
    from enclavize.rune.run import run as run_image

    if given.report and not (given.trace or given.profile):
        raise UsageError("--report says where --trace and --profile go: neither is there")
    options = RunOptions(
        image=parse_location(given.image),
        arguments=tuple(given.arguments),
        environment=tuple(filter(None, map(_variable, given.env))),
        volumes=tuple(map(_volume, given.volume)),
        name=given.name,
        simulate=given.simulate is not None,
        enclu=given.simulate or "",
        log_level=given.log_level or "",
        trace=given.trace,
        profile=given.profile or "",
        report=given.report,
        mrsigners=_mrsigners(given.signer),
        toolchain=given.toolchain,
        host_files=_host_files(given.host_files),
        stdin=given.interactive,
        terminal=given.tty,
        host_network=given.network == "host",
        capabilities=chosen_capabilities(given.cap_add, given.cap_drop),
        published=_published(given.publish, host_network=given.network == "host"),
        devices=_devices(given.device),
        insecure=given.insecure,
    )
    reporting = partial(_reporting, _progress_mode(given.progress))
    return run_image(options, unpack(options, _cache_bound, reporting))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="enclavize run", usage="%(prog)s [OPTIONS] IMAGE [ARGUMENT]...", description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=_WIDTH),
    )  # fmt: skip

    def flag(*names: str, about: str) -> None:
        parser.add_argument(*names, action="store_true", help=about)

    def several(*names: str, metavar: str, about: str, kind: type = str) -> None:
        parser.add_argument(*names, action="append", default=[], metavar=metavar, help=about, type=kind)

    def one(*names: str, metavar: str, about: str, kind: type = str) -> None:
        parser.add_argument(*names, metavar=metavar, help=about, type=kind)

    parser.add_argument("image", metavar="IMAGE", help="A TEE image, named as for build.")
    parser.add_argument(
        "arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER,
        help="For the program, if the image allows arguments.",
    )  # fmt: skip
    for name, (enclu, about) in SIMULATIONS.items():
        parser.add_argument(name, dest="simulate", action="store_const", const=enclu, help=about)
    flag("-i", "--interactive", about="Keep standard input open.")
    flag("-t", "--tty", about="Give the program a terminal.")
    several("-e", "--env", metavar="NAME[=VALUE]", about="Set a variable, if the image allows it.")
    several("-v", "--volume", metavar="HOST:PATH[:ro]", about="Give a path, if the image opens it.")
    one("--name", metavar="NAME", about="Name of the container.")
    flag("--rm", about="Remove the container at its end. This is always done.")
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS,
        help="What to say; above 'error' the enclave needs a debug image.",
    )  # fmt: skip
    flag(
        "--trace",
        about="Print each system call as strace does (debug images only); of Gramine, the opened files.",
    )
    parser.add_argument(
        "--profile", choices=PROFILE_FORMS,
        help="Print at the end how often and how long system calls and OCALLs took, and how often each left "
        "the enclave. Debug images only.",
    )  # fmt: skip
    one(
        "--report", metavar="FILE", kind=Path,
        about="Where --trace and --profile go; without it, to standard error.",
    )  # fmt: skip
    several("--signer", metavar="PUB.pem|MRSIGNER", about="A signer that is trusted; without it, all are.")
    one(
        "--toolchain", metavar="TOOLCHAIN",
        about="What runs outside of the enclave must be of this toolchain: an install prefix, an image or a "
        "kept one.",
    )  # fmt: skip
    several(
        "--host-files", metavar="FILE", kind=Path,
        about="What runs outside of the enclave must have the digests of this file, which 'enclavize "
        "toolchain digests' writes. Of several files one must fit.",
    )  # fmt: skip
    parser.add_argument(
        "--network", choices=NETWORKS, default="none", help="Network of the container: none by default."
    )
    several(
        "-p", "--publish", metavar="[[ADDRESS:]PORT:]PORT",
        about="Forward the machine's port to the container's (TCP).",
    )  # fmt: skip
    several(
        "--cap-add", metavar="CAP", about="Let the host's side of the container do more; names as docker's."
    )
    several(
        "--cap-drop", metavar="CAP",
        about="Let it do less: by default it may give files of volumes away (CHOWN, DAC_OVERRIDE, FSETID, "
        "FOWNER).",
    )  # fmt: skip
    several(
        "--device", metavar="PATH",
        about="Give an SGX device beside /dev/sgx_enclave, which is there by itself: /dev/sgx_provision, for "
        "quotes that are made in the container.",
    )  # fmt: skip
    one(
        "--progress", metavar="auto|tty|plain|quiet|rawjson|none",
        about="How progress is shown while the image is unpacked: auto by default.",
    )  # fmt: skip
    flag("--insecure", about="Accept plain HTTP and unknown certificates of registries.")
    return parser


def _cache_bound() -> int:
    from enclavize.cli.grammar.cache_bound import cache_bound

    return cache_bound()


def _progress_mode(chosen: str | None) -> str:
    """Return a value of ``--progress``. Its module is loaded if one was given: few runs have progress."""
    mode = chosen or os.environ.get("ENCLAVIZE_PROGRESS", "")
    if mode:
        from enclavize.progress.mode import ProgressMode

        if mode not in list(ProgressMode):
            raise UsageError(f"--progress {mode!r}: there is {', '.join(ProgressMode)}")
    return mode or "auto"


def _reporting(mode: str) -> AbstractContextManager[Reporter]:
    from enclavize.progress.mode import ProgressMode
    from enclavize.progress.renderer import reporting

    return reporting(ProgressMode(mode))


def _variable(text: str) -> str:
    """Parse ``NAME=VALUE``, or ``NAME`` with the caller's value, as docker does; empty if there is none."""
    name, equals, _ = text.partition("=")
    if not name or "\0" in text:
        raise UsageError(f"--env {text!r} is not of the form NAME=VALUE")
    if name.startswith("ENCLAVIZE_"):
        raise UsageError(f"--env {name}: this name is the runelet's own", hint="see the options of run")
    if not equals and name not in os.environ:
        return ""
    return text if equals else f"{name}={os.environ[name]}"


def _volume(text: str) -> tuple[Path, str, bool]:
    source, _, rest = text.partition(":")
    path, colon, mode = rest.partition(":")
    if not source or not path or (colon and mode not in ("ro", "rw")):
        raise UsageError(f"--volume {text!r} is not of the form HOST:PATH[:ro]")
    return Path(source), path, mode == "ro"


def _published(texts: Sequence[str], *, host_network: bool) -> tuple[PublishedPort, ...]:
    if not texts:
        return ()
    from enclavize.cli.grammar.publish import parse_published

    return parse_published(texts, host_network=host_network)


def _devices(paths: Sequence[str]) -> tuple[Device, ...]:
    if not paths:
        return ()
    from enclavize.rune.sgx_devices import sgx_device

    return tuple(map(sgx_device, paths))


def _host_files(paths: Sequence[Path]) -> tuple[HostFiles, ...]:
    if not paths:
        return ()
    from enclavize.tee.host_files import read_host_files

    return tuple(map(read_host_files, paths))


def _mrsigners(texts: list[str]) -> tuple[bytes, ...]:
    """Read keys and hashes as ``verify`` does."""
    if not texts:
        return ()
    from enclavize.cli.grammar.expectations import parse_expectations

    wanted = parse_expectations(
        signers=texts, measurements=[], isv_prod_id=None, min_svn=None, allow_debug=True,
        allow_any_signer=False, policy=None,
    )  # fmt: skip
    return tuple(map(bytes.fromhex, sorted(wanted.signers)))
