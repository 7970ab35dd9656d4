"""``--publish`` of ``enclavize run``: which ports of the program the machine is to have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.rune.publish import PublishedPort

if TYPE_CHECKING:
    from collections.abc import Iterable

_PORTS = re.compile(
    r"(?:(?:(?P<address>[0-9.]+|\[[0-9A-Fa-f:.]+\]):)?(?P<host>[0-9]{1,5}):)?(?P<container>[0-9]{1,5})"
    r"(?:/(?P<protocol>tcp|udp))?",
    re.ASCII,
)
_LAST_PORT = 65535


def parse_published(texts: Iterable[str], *, host_network: bool) -> tuple[PublishedPort, ...]:
    """Return the ports that are to be forwarded: none with the machine's own network.

    ``PORT`` and ``PORT:PORT`` say there what ``--network host`` does anyway. Raises UsageError.
    """
    parsed = tuple(_parse(text, host_network=host_network) for text in texts)
    return () if host_network else parsed


def _parse(text: str, *, host_network: bool) -> PublishedPort:
    ports = _PORTS.fullmatch(text)
    numbers = [int(ports[name]) for name in ("host", "container") if ports[name]] if ports else []
    if not ports or not all(0 < number <= _LAST_PORT for number in numbers):
        raise UsageError(
            f"--publish {text!r} is not of the form [[ADDRESS:]PORT:]PORT[/tcp|/udp]",
            hint="ranges are for engines: docker run -p",
        )
    host, container = numbers[0], numbers[-1]
    if host_network and (host != container or ports["address"]):
        raise UsageError(
            f"--publish {text}: with --network host port {container} of the program is port {container} of "
            "the machine, at all addresses where it listens",
            hint="leave out --network host",
        )
    if not host_network and ports["protocol"] == "udp":
        raise UsageError(
            f"--publish {text}: only connections of TCP are forwarded",
            hint="give --network host: the program's ports are then the machine's; or start the image "
            "with an engine, such as docker run -p",
        )
    return PublishedPort(address=_address(text, ports["address"] or ""), host=host, container=container)


def _address(text: str, address: str) -> str:
    import ipaddress

    if not address:
        return ""
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError as error:
        raise UsageError(f"--publish {text!r}: {address} is not an IP address") from error
