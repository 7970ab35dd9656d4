"""Ports of a container's own network that the machine has: ``--publish`` of ``enclavize run``.

Listeners are made in the machine's network, before the container starts, and given to a process of their own
(rune/forward.py), which enters the container's network and passes on what comes: no bridge, no rules of a
firewall, no privileges.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, UsageError
from enclavize.tee.policy import Network

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from enclavize.tee.policy import Policy

BACKLOG = 1024


@dataclass(frozen=True, kw_only=True)
class PublishedPort:
    """A port of TCP: the machine's at ``address`` ("" stands for all addresses), and the container's."""

    address: str = ""
    host: int
    container: int

    def __str__(self) -> str:
        """Return it as the option has it."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.host}:{self.container}" if address else f"{self.host}:{self.container}"


def check_policy(ports: Sequence[PublishedPort], policy: Policy) -> None:
    """Refuse to lead clients to a program that is measured to be reached by nobody. Raises UsageError."""
    if ports and policy.network not in (None, Network.ALL):
        raise UsageError(
            f"--publish {ports[0]}: the image's measured policy of the network is {policy.network}: nobody "
            "from elsewhere is to reach it",
            hint="build it with --allow-network all",
        )


@contextmanager
def published(ports: Sequence[PublishedPort], pid_file: Path) -> Iterator[None]:
    """Forward connections as long as the context lasts. Raises EnclavizeError for a port that cannot be had.

    The container's runtime writes the id of a process in the container's network to ``pid_file``.
    """
    with ExitStack() as stack:
        listeners = [stack.enter_context(_listen(port)) for port in ports]
        pairs = [f"{at.fileno()}:{port.container}" for at, port in zip(listeners, ports, strict=True)]
        import subprocess

        forwarder = subprocess.Popen(
            [sys.executable, "-P", "-m", "enclavize.rune.forward", str(os.getpid()), str(pid_file), *pairs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno() for listener in listeners],
            process_group=0,  # ^C is the program's, which may have connections to end
        )
        stack.callback(forwarder.wait)
        stack.callback(forwarder.kill)
        yield


def _listen(port: PublishedPort) -> socket.socket:
    import socket

    is_dual = not port.address and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual or ":" in port.address else socket.AF_INET
    try:
        return socket.create_server(
            (port.address, port.host), family=family, backlog=BACKLOG, dualstack_ipv6=is_dual
        )
    except OSError as error:
        raise EnclavizeError(f"--publish {port}: the port cannot be had: {error.strerror}") from error
