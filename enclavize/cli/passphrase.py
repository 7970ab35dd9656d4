"""Where a passphrase or PIN comes from: never the command line, which every user can read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from enclavize.errors import UsageError

_MAX_SIZE = 4096

PassphraseFile = Annotated[Path | None, typer.Option(help="File with the key's passphrase or PIN.")]
PassphraseEnv = Annotated[
    str | None, typer.Option(metavar="NAME", help="Variable with the passphrase or PIN.")
]
PassphraseFd = Annotated[
    int | None, typer.Option(min=0, metavar="FD", help="File descriptor to read the passphrase or PIN from.")
]


def passphrase_reader(
    file: Path | None, variable: str | None, descriptor: int | None, key: str | None
) -> Callable[[], bytes]:
    """Return what reads the passphrase when it turns out that one is needed.

    Without any of the three sources it is asked for on the terminal. Raises UsageError for more than one.
    """
    given = [source for source in (file, variable, descriptor) if source is not None]
    if len(given) > 1:
        raise UsageError("give one of --passphrase-file, --passphrase-env and --passphrase-fd")
    if given and key is None:
        raise UsageError("a passphrase is given, but no key", hint="add --key KEY.pem")
    if given and key and _names_its_pin(key):
        raise UsageError("the PIN is given twice: by an option, and by pin-source in the PKCS#11 URI")

    def read() -> bytes:
        if file is not None:
            return _read(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
        if variable is not None:
            if variable not in os.environ:
                raise UsageError(f"--passphrase-env {variable}: there is no such variable")
            return os.fsencode(os.environ[variable])
        if descriptor is not None:
            return _read(descriptor)
        return _ask(key)

    return read


def _names_its_pin(key: str) -> bool:
    from enclavize.signing.pkcs11 import SCHEME, Pkcs11Uri

    return key.startswith(SCHEME) and Pkcs11Uri.parse(key).pin_source is not None


def _read(descriptor: int) -> bytes:
    """Return the first line."""
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(_MAX_SIZE + 1)
    if len(data) > _MAX_SIZE:
        raise UsageError(f"the passphrase is longer than {_MAX_SIZE} bytes")
    return data.partition(b"\n")[0].removesuffix(b"\r")


def _ask(key: str | None) -> bytes:
    import getpass

    if not sys.stdin.isatty():
        raise UsageError(
            f"the key {key} wants a passphrase or PIN, and there is no terminal to ask for it",
            hint="use --passphrase-file, --passphrase-env or --passphrase-fd",
        )
    return getpass.getpass(f"Passphrase or PIN of {key}: ").encode()
