"""Where the passphrase of a key comes from: never the command line, which every user can read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAX_SIZE = 4096


def passphrase_reader(
    file: Path | None, variable: str | None, descriptor: int | None, key: Path | None
) -> Callable[[], bytes]:
    """Return what reads the passphrase when the key turns out to be encrypted.

    Without any of the three sources it is asked for on the terminal. Raises UsageError for more than one.
    """
    if sum(source is not None for source in (file, variable, descriptor)) > 1:
        raise UsageError("give one of --passphrase-file, --passphrase-env and --passphrase-fd")
    if key is None and (file or variable or descriptor is not None):
        raise UsageError("a passphrase is given, but no key", hint="add --key KEY.pem")

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


def _read(descriptor: int) -> bytes:
    """Return the first line."""
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(_MAX_SIZE + 1)
    if len(data) > _MAX_SIZE:
        raise UsageError(f"the passphrase is longer than {_MAX_SIZE} bytes")
    return data.partition(b"\n")[0].removesuffix(b"\r")


def _ask(key: Path | None) -> bytes:
    import getpass

    if not sys.stdin.isatty():
        raise UsageError(
            f"the key {key} is encrypted, and there is no terminal to ask for its passphrase",
            hint="use --passphrase-file, --passphrase-env or --passphrase-fd",
        )
    return getpass.getpass(f"Passphrase of {key}: ").encode()
