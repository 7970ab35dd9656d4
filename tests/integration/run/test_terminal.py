"""The container's own terminal: its keys are for the group in the foreground, and the shell stays."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from support.terminal import INTERRUPT, QUIT, SUSPEND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.run.conftest import Corpus

pytestmark = pytest.mark.integration

END_OF_FILE = b"\x04"
PROMPT = b"\x1b[6n"
"""With it busybox asks where the cursor is."""
PATIENCE = 3.0
"""Seconds after which a key has been lost."""
SHELL = ("/bin/busybox", "sh", "-i")


def _read_until(terminal: int, wanted: bytes) -> None:
    output = b""
    while wanted not in output:
        try:
            more = os.read(terminal, 1000)
        except OSError:  # EIO: the other end is closed
            more = b""
        assert more, output
        output += more


def _press_until_it_ends(terminal: int, key: bytes) -> None:
    """Press a key until the shell is back: one is lost, natively too, while the job changes its program."""
    output = b""
    os.write(terminal, key)
    while PROMPT not in output:
        if select.select([terminal], [], [], PATIENCE)[0]:
            output += os.read(terminal, 1000)
        else:
            os.write(terminal, key)


def _suspend(terminal: int) -> None:
    """Stop what runs, and let it go on; what reads in the background is stopped, too."""
    os.write(terminal, b"sh -c 'echo as''leep; exec busybox sleep 10000'\n")
    _read_until(terminal, b"asleep\r\n")
    _press_until_it_ends(terminal, SUSPEND)
    os.write(terminal, b"echo status $?\n")
    _read_until(terminal, b"status %d" % (128 + signal.SIGTSTP))
    os.write(terminal, b"kill %1; fg; echo ended $?\n")
    _read_until(terminal, b"ended %d\r\n" % (128 + signal.SIGTERM))
    os.write(terminal, b"busybox cat & until jobs | busybox grep -q Stopped; do :; done; echo stop''ped\n")
    _read_until(terminal, b"stopped\r\n")
    os.write(terminal, b"echo fore''ground; fg; echo ended $?\n")
    _read_until(terminal, b"foreground\r\nbusybox cat\r\n")
    os.write(terminal, b"some words\n")
    _read_until(terminal, b"some words\r\nsome words\r\n")
    os.write(terminal, END_OF_FILE)
    _read_until(terminal, b"ended 0\r\n")


def _talk(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Interrupt what handles it, then what does not, and go on with the shell; return its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], [*command], {**environment})
    try:
        _read_until(terminal, PROMPT)
        handles = "trap \"echo he''ard; exit 3\" INT; echo read''y; while :; do busybox sleep 1; done"
        os.write(terminal, f"PATH=/bin; sh -c '{handles}'; echo status $?\n".encode())
        _read_until(terminal, b"ready\r\n")
        os.write(terminal, INTERRUPT)
        _read_until(terminal, b"heard\r\nstatus 3\r\n")
        for key, status in ((INTERRUPT, b"130"), (QUIT, b"131")):
            os.write(terminal, b"sh -c 'echo as''leep; exec busybox sleep 10000'\n")
            _read_until(terminal, b"asleep\r\n")
            _press_until_it_ends(terminal, key)
            os.write(terminal, b"echo status $?\n")
            _read_until(terminal, b"status " + status)
        _suspend(terminal)
        os.write(terminal, b"exit 5\n")
        _, ended = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(ended)
    finally:
        os.close(terminal)


def test_keys_end_the_job_and_not_the_shell(corpus: Corpus) -> None:
    chroot = shutil.which("chroot") or "chroot"
    assert _talk([chroot, str(corpus.unpacked), *SHELL], {"TZ": "UTC"}) == 5
    assert _talk([*corpus.command("-t"), corpus.tee, *SHELL], corpus.environment) == 5
