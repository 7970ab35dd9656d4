"""What a TEE container is told to run, against what its enclave runs in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.tee.layout import ENTRYPOINT

if TYPE_CHECKING:
    from collections.abc import Sequence

INIT_PROGRAMS = frozenset({"/sbin/docker-init", "/dev/init", "/run/podman-init"})
"""What ``--init`` puts before everything else (moby, podman 4 and 5). The runelet is an init itself."""

_SHOWN = 300


def runelet_arguments(arguments: Sequence[str], measured: Sequence[str] | None) -> list[str]:
    """Return the arguments of the runelet; ``measured`` is the enclave's own command line, where it is known.

    A container may name the enclave's whole command line instead of the runelet, as pods with ``command`` do:
    the enclave runs that without being told. Raises EnclavizeError for another one.
    """
    given = list(arguments)
    if given[:1] and given[0] in INIT_PROGRAMS:
        given = given[2:] if given[1:2] == ["--"] else given[1:]
    if given[:1] == [ENTRYPOINT]:
        return given
    if measured and given == list(measured):
        return [ENTRYPOINT]
    runs = f"the enclave runs [{_shown(measured)}]" if measured else "its enclave decides what it runs"
    raise EnclavizeError(
        f"this container is told to run [{_shown(given)}], {runs}",
        hint=f"leave out --entrypoint (in a pod: command), or make it {ENTRYPOINT}; what stands behind that "
        "are the program's arguments, if the build allows them",
    )


def _shown(arguments: Sequence[str]) -> str:
    import shlex  # these would cost every start of a container some milliseconds

    from enclavize.rootfs.entry import printable

    text = printable(shlex.join(arguments))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
