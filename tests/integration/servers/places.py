"""A server of the image in one of two places, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 90
"""Seconds until a server that does nothing is given up; no test is faster or slower by it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where programs of the image run. ``data`` is the folder that is /data there, and stays."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    data: Path
    logs: Path
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @contextlib.contextmanager
    def server(self, *argv: str, **settings: str) -> Iterator[Server]:
        """Start a server, which may not be there any more at the end."""
        log = self.logs / f"{len(self._started)}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self.command, *argv], env={**self.environment, **settings},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        try:
            yield Server(process=process, log=log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, *argv: str, **settings: str) -> tuple[bytes, int]:
        """Run to the end; return what it said and how it ended."""
        done = subprocess.run(
            [*self.command, *argv], env={**self.environment, **settings},
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        return done.stdout, done.returncode


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running one."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> list[str]:
        """What it said until now, without the words of the enclave."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if not line.startswith("enclavize: ")]

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said something."""
        self.until(lambda: sum(text in line for line in self.said) >= times, text)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            said = self.log.read_text(errors="replace")[-3000:]
            assert self.process.poll() is None, f"ended before {what}: {said}"
            assert time.monotonic() < end, f"{what} does not come: {said}"
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the first process, which natively is the only child of ``unshare``."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        os.kill(int(children[0]) if children else self.process.pid, number)

    def ends(self, number: signal.Signals | None = None) -> int:
        """Send a signal, wait for the end and return the status as a shell tells it."""
        if number is not None:
            self.send(number)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it does not end: {self.log.read_text(errors='replace')[-3000:]}")
        return 128 - status if status < 0 else status


def free_port() -> int:
    """Return a port of loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def get(port: int, path: str = "/") -> bytes:
    """Ask a server of HTTP; "" if it says nothing."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return bytes(answer.read())
    except OSError:
        return b""
