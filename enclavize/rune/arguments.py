"""What a TEE container is told to run, against what its enclave runs in any case."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.tee.layout import ENTRYPOINT

if TYPE_CHECKING:
    from collections.abc import Sequence

INIT_PROGRAMS = frozenset({"/sbin/docker-init", "/dev/init", "/run/podman-init"})
"""What ``--init`` puts before everything else (moby, podman 4 and 5). The runelet is an init itself."""

_SHOWN = 300
_LEAVE_OUT = "leave out --entrypoint (in a pod: command)"


@dataclass(frozen=True, kw_only=True)
class CommandHead:
    """How a command line begins that stands for the runelet. ``more``: the program's arguments may follow."""

    given: tuple[str, ...]
    more: bool


def command_head(
    arguments: Sequence[str], measured: Sequence[str] | None, entrypoint: Sequence[str] = ()
) -> CommandHead:
    """Return what the runelet takes the place of; ``measured`` is the enclave's own command line, if known.

    A container may name the enclave's whole command line instead of the runelet, as pods with ``command`` do:
    the enclave runs that without being told. A container of an ordinary image, which has an ``entrypoint``,
    may have arguments behind that. Raises EnclavizeError for another one.
    """
    given, init = list(arguments), 0
    if given[:1] and given[0] in INIT_PROGRAMS:
        init = 2 if given[1:2] == ["--"] else 1
    given = given[init:]
    if given[:1] == [ENTRYPOINT]:
        return CommandHead(given=tuple(arguments[: init + 1]), more=True)
    if measured and given == list(measured):
        return CommandHead(given=tuple(arguments), more=False)
    if entrypoint and given[: len(entrypoint)] == list(entrypoint):
        return CommandHead(given=tuple(arguments[: init + len(entrypoint)]), more=True)
    hint = f"{_LEAVE_OUT}, or make it {ENTRYPOINT}; what stands behind that are the program's arguments, if "
    raise _another(given, measured, f"{hint}the build allows them")


def located_program(
    given: Sequence[str], measured: Sequence[str] | None, entrypoint: Sequence[str]
) -> tuple[str, ...]:
    """Return the command line for a PAL, which finds a program by its path: the one that was measured.

    ``given`` is what a container of an ordinary image with this ``entrypoint`` is told to run: the measured
    command line, its program by whatever path, or the entrypoint and arguments. Raises EnclavizeError.
    """
    given, own = list(given), list(measured or ())
    if given and own:
        count = len(entrypoint)
        is_named = given[0] in (own[0], *entrypoint[:1])
        is_whole = given[1:] == own[1:] and posixpath.basename(given[0]) == posixpath.basename(own[0])
        if is_whole or (is_named and count and given[1:count] == own[1:count]):
            return (own[0], *given[1:])
    raise _another(given, measured, _LEAVE_OUT)


def _another(given: Sequence[str], measured: Sequence[str] | None, hint: str) -> EnclavizeError:
    runs = f"the enclave runs [{_shown(measured)}]" if measured else "its enclave decides what it runs"
    return EnclavizeError(f"this container is told to run [{_shown(given)}], {runs}", hint=hint)


def _shown(arguments: Sequence[str]) -> str:
    import shlex  # these would cost every start of a container some milliseconds

    from enclavize.rootfs.names import printable

    text = printable(shlex.join(arguments))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
