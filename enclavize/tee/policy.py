"""What the host may influence; the policy is measured, and described in ``enclave.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

TERMINATION_LOG = "/dev/termination-log"
"""Kubernetes' file for a program's last words: the one volume that may be among the devices."""

ANY_COMMAND = "*"
"""Stands for every command in lists of those that the host may start."""


class Network(StrEnum):
    """Which addresses sockets of IPv4 and IPv6 may have: none, 127.0.0.0/8 and ::1, or any."""

    NONE = "none"
    LOOPBACK = "loopback"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class AllowedVariable:
    """A variable that the host may set; ``unsafe`` if its name can make a program run other code."""

    name: str
    unsafe: bool = False


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A path below which files are the host's: unprotected, and executable only if this says so."""

    path: str
    read_only: bool = False
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the host may influence. Everything is refused unless it stands here; the policy is measured."""

    allow_arguments: bool = False
    allowed_environment: tuple[AllowedVariable, ...] = ()
    allow_any_exec: bool = False
    allowed_exec: tuple[tuple[str, ...], ...] = ()
    volumes: tuple[Volume, ...] = ()
    allow_host_network_files: bool = False
    network: Network | None = None
    """None: what suits the image; of an instance: the LibOS leaves it to the host."""

    def with_marks_of(self, other: Policy) -> Policy:
        """Return this policy with ``unsafe`` as in ``other``, for LibOSes that measure names alone.

        Another version of enclavize may have had another list of such names.
        """
        marks = {variable.name: variable.unsafe for variable in other.allowed_environment}
        marked = (
            replace(variable, unsafe=marks.get(variable.name, variable.unsafe))
            for variable in self.allowed_environment
        )
        return replace(self, allowed_environment=tuple(marked))
