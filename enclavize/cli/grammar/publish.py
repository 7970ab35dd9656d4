"""``--publish`` of ``enclavize run``: which ports of the program the machine is to have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PORTS = re.compile(r"(?:(?P<host>[0-9]{1,5}):)?(?P<container>[0-9]{1,5})(?:/(?:tcp|udp))?", re.ASCII)
_LAST_PORT = 65535


def check_published(texts: Iterable[str], *, host_network: bool) -> None:
    """Refuse what this command cannot do: it makes no network, so no port can become another.

    ``PORT`` and ``PORT:PORT`` say what ``--network host`` does anyway. Raises UsageError.
    """
    for text in texts:
        ports = _PORTS.fullmatch(text)
        if not ports or max(int(port) for port in ports.groups() if port) > _LAST_PORT:
            raise UsageError(
                f"--publish {text!r} is not of the form [PORT:]PORT[/tcp|/udp]",
                hint="addresses and ranges are for engines: docker run -p",
            )
        if not host_network:
            raise UsageError(
                f"--publish {text}: the container has a network of its own, with loopback alone",
                hint="give --network host: the program's ports are then the machine's; or start the image "
                "with an engine, such as docker run -p",
            )
        if ports["host"] not in (None, ports["container"]):
            raise UsageError(
                f"--publish {text}: with --network host port {ports['container']} of the program is port "
                f"{ports['container']} of the machine",
                hint="start the image with an engine, such as docker run -p",
            )
