"""A command with a terminal of its own, and a hand at its keys."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import tty
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

INTERRUPT, QUIT, SUSPEND = b"\x03", b"\x1c", b"\x1a"


class Terminal:
    """The terminal is raw from the start, as an engine's client makes it; what is shown has no CR."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        words = [str(word) for word in command]
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            tty.setraw(0)
            os.execvpe(words[0], words, {**(os.environ if environment is None else environment)})

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self.descriptor, keys)

    def resize_until(self, rows: int, columns: int, wanted: bytes) -> None:
        """Change the size, and read until this is shown.

        docker's client reads the size and then begins to listen: what changes in between it is told again.
        """
        self.resize(rows, columns)
        output = b""
        while wanted not in output:
            if select.select([self.descriptor], [], [], 0.2)[0]:
                output += self._read(output)
            else:
                os.kill(self.pid, signal.SIGWINCH)

    def read_until(self, *wanted: bytes) -> bytes:
        """Return what was shown up to the last of these."""
        output = b""
        while not all(text in output for text in wanted):
            output += self._read(output)
        return output

    def _read(self, before: bytes) -> bytes:
        try:
            more = os.read(self.descriptor, 1000)
        except OSError:  # EIO: the other end is closed
            more = b""
        assert more, before
        return more.replace(b"\r", b"")

    def wait(self) -> int:
        """Return the exit code."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """End the command, if it has not ended."""
        os.close(self.descriptor)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
