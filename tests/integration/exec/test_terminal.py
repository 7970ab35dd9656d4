"""Commands from outside with a terminal of the engine."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import tty
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.commands import Container, Trees

pytestmark = pytest.mark.integration

INTERRUPT, QUIT = b"\x03", b"\x1c"


class Terminal:
    """A command with a terminal, as ``docker exec -t`` makes it.

    runc may still be about to prepare both terminals when the command writes for the first time: the test's
    is raw from the start, and what is shown has no CR.
    """

    def __init__(self, container: Container, *words: str) -> None:
        command = [str(word) for word in container.command("--tty", *words)]
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            tty.setraw(0)
            os.execv(command[0], command)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self.descriptor, keys)

    def read_until(self, *wanted: bytes) -> bytes:
        """Return what was shown up to the last of these."""
        output = b""
        while not all(text in output for text in wanted):
            try:
                more = os.read(self.descriptor, 1000)
            except OSError:  # EIO: the other end is closed
                more = b""
            assert more, output
            output += more.replace(b"\r", b"")
        return output

    def wait(self) -> int:
        """Return the exit code."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def open_terminal(run: Callable[..., Container], trees: Trees) -> Iterator[Callable[..., Terminal]]:
    container = run(trees.open)
    made = []

    def start(*words: str) -> Terminal:
        made.append(Terminal(container, *words))
        return made[-1]

    yield start
    for terminal in made:
        os.close(terminal.descriptor)
        if terminal.pid:
            subprocess.run(["kill", "-9", str(terminal.pid)], check=False)
            os.waitpid(terminal.pid, 0)


def test_the_size_of_the_window_and_its_changes(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("/probe", "size")
    terminal.read_until(b"size ")
    terminal.resize(40, 100)
    terminal.read_until(b"size 40 100\n")
    terminal.resize(41, 101)
    terminal.read_until(b"size 41 101\n")
    terminal.type(INTERRUPT)
    assert terminal.wait() == 128 + 2


def test_keys_are_for_the_group_in_the_foreground(open_terminal: Callable[..., Terminal]) -> None:
    """The command itself would be ended by them."""
    terminal = open_terminal("/probe", "foreground")
    terminal.read_until(b"foreground\n", b"ready\n")
    terminal.type(INTERRUPT)
    terminal.read_until(b"signal 2\n")
    terminal.type(QUIT)
    terminal.read_until(b"signal 3\n")
    os.kill(terminal.pid, 15)  # by runc to the command, not to the group
    assert terminal.wait() == 128 + 15


def test_the_controlling_terminal_is_the_engines(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal("/probe", "tty")
    terminal.read_until(b"terminal\n")
    assert terminal.wait() == 0


def test_without_a_terminal_there_is_none(run: Callable[..., Container], trees: Trees) -> None:
    assert run(trees.open).exec("/probe", "tty").returncode == 1
