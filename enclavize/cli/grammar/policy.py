"""``--allow-env``, ``--allow-exec``, ``--volume``: what the host may influence."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.libos.loader_names import loader_reason
from enclavize.tee.policy import ANY_COMMAND, TERMINATION_LOG, AllowedVariable, Network, Volume

if TYPE_CHECKING:
    from collections.abc import Iterable

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def parse_network(text: str) -> Network:
    """Parse ``none``, ``loopback`` or ``all``. Raises UsageError."""
    try:
        return Network(text)
    except ValueError as error:
        raise UsageError(f"--allow-network {text!r} is none of {', '.join(Network)}") from error


def parse_allowed_variables(texts: Iterable[str]) -> tuple[AllowedVariable, ...]:
    """Parse ``NAME`` and ``NAME:unsafe``; sorted by name. Raises UsageError."""
    variables: dict[str, AllowedVariable] = {}
    for text in texts:
        name, separator, mark = text.partition(":")
        if "=" in name:
            raise UsageError(
                f"--allow-env {text!r}: only a name is wanted",
                hint="the default value is the one that the image has",
            )
        if not _VARIABLE_NAME.fullmatch(name) or (separator and mark != "unsafe"):
            raise UsageError(f"--allow-env {text!r} is not of the form NAME or NAME:unsafe")
        reason = loader_reason(name)
        if reason and not mark:
            raise UsageError(
                f"--allow-env {name}: whoever sets this variable can make the program run other code, or "
                f"give its secrets away: {reason}",
                hint=f"if that is what you want, write --allow-env {name}:unsafe",
            )
        variables[name] = AllowedVariable(name=name, unsafe=bool(reason))
    return tuple(variables[name] for name in sorted(variables))


def parse_volumes(texts: Iterable[str]) -> tuple[Volume, ...]:
    """Parse ``PATH[:ro][:exec]``; sorted by path. Raises UsageError."""
    volumes: dict[str, Volume] = {}
    for text in texts:
        path, *marks = text.split(":")
        if not path.startswith("/") or "\0" in path or posixpath.normpath(path) in ("/", "//"):
            raise UsageError(f"--volume {text!r}: an absolute path below / is needed")
        if ".." in path.split("/"):
            raise UsageError(f"--volume {text!r}: the path has a '..'")
        if (
            len(marks) != len(set(marks))
            or not set(marks) <= {"ro", "rw", "exec"}
            or {"ro", "rw"} <= set(marks)
        ):
            raise UsageError(
                f"--volume {text!r} is not of the form PATH[:ro][:exec]",
                hint="the place on the host is given when the image is run, not here",
            )
        path = posixpath.normpath(path)
        if path in volumes:
            raise UsageError(f"--volume {path} is given twice")
        for system in ("/.enclave", "/proc", "/sys", "/dev"):
            if path != TERMINATION_LOG and (path == system or path.startswith(f"{system}/")):
                raise UsageError(f"--volume {path}: {system} is the LibOS's own")
        volumes[path] = Volume(path=path, read_only="ro" in marks, executable="exec" in marks)
    paths = sorted(volumes)
    for outer in paths:
        for inner in paths:
            if inner.startswith(f"{outer}/"):
                raise UsageError(f"--volume {inner} lies inside --volume {outer}")
    return tuple(volumes[path] for path in paths)


def parse_commands(texts: Iterable[str]) -> tuple[bool, tuple[tuple[str, ...], ...]]:
    """Parse all values of ``--allow-exec``: whether any command is allowed, and which. Raises UsageError."""
    commands = list(texts)
    named = {parse_exec(text) for text in commands if text != ANY_COMMAND}
    return ANY_COMMAND in commands, tuple(sorted(named))


def parse_exec(text: str) -> tuple[str, ...]:
    """Split one value of ``--allow-exec`` into arguments as a shell would. Raises UsageError."""
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--allow-exec {text!r}: {error}") from error
    if not arguments or "\0" in text:
        raise UsageError(f"--allow-exec {text!r} names no program")
    return arguments
