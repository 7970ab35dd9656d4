"""Network namespaces of tests' own: servers have the ports they want, and nothing else can reach them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.programs import need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SILENT_ADDRESS = "198.51.100.1"
"""Nobody answers there: packets to it are lost (RFC 5737: an address for documentation)."""

_GET = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=30)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode(), sep="\\n", end="")
"""
_SET_UP = f"""set -e
ip link set lo up
ip link add near type veth peer name far
ip link set near up
ip link set far up
ip address add 198.51.100.254/24 dev near
ip neighbour add {SILENT_ADDRESS} lladdr 02:00:00:00:00:01 dev near nud permanent
echo
exec sleep infinity
"""


@dataclass(frozen=True, kw_only=True)
class NetworkNamespace:
    """A namespace with loopback, and a cable that leads nowhere. It lives as long as the process ``pid``."""

    pid: int

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The beginning of a command line that starts a program inside."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def run(
        self, *command: str | Path, stdin: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end."""
        return subprocess.run(
            [*self.wrapper, *command],
            input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def get(self, url: str) -> tuple[int, str]:
        """Ask a server of HTTP inside; return the status and the body."""
        done = self.run(sys.executable, "-c", _GET, url)
        assert done.returncode == 0, done.stderr
        status, _, body = done.stdout.partition("\n")
        return int(status), body

    def listening(self) -> set[int]:
        """Return the ports of TCP at which somebody listens."""
        lines = self.run("ss", "-Hltn").stdout.splitlines()
        return {int(line.split()[3].rpartition(":")[2]) for line in lines}


@contextmanager
def network_namespace() -> Iterator[NetworkNamespace]:
    """Make a namespace, and let it go with everything in it that still listens."""
    need("unshare", "nsenter", "ip")
    need_root()
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", _SET_UP], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stderr is not None
            if not holder.stdout.readline():
                pytest.skip(f"no network of one's own here: {holder.stderr.read().decode().strip()}")
            yield NetworkNamespace(pid=holder.pid)
        finally:
            holder.kill()
