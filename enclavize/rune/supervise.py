"""Run runc in the foreground and stand between it and whoever sends signals to ``enclavize run``."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGCONT, signal.SIGWINCH,
)  # fmt: skip
_SI_KERNEL = 0x80
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_LOG_LIMIT = 1 << 20

EXIT_NOT_STARTED = 125
"""As ``docker run``: the error is not the program's."""


REPORT_DESCRIPTOR = 3
"""The first that runc passes on with ``--preserve-fds``."""


_UNDECIDED = "undecided"


def take_undecided(bundle: Path) -> bool:
    """Whether rune has done nothing but to say, in the bundle, that it has no plan (``--kept-plan``)."""
    try:
        (bundle / _UNDECIDED).unlink()
    except FileNotFoundError:
        return False
    return True


def run_container(
    rune: Sequence[str],
    *,
    runc: str,
    bundle: Path,
    name: str,
    pid_file: Path,
    stdin: bool,
    report: int | None = None,
) -> int:
    """Run the bundle to its end; return its exit code: 128 + n after signal n, 125 if it did not start.

    ``rune`` is the command line up to its command, ``runc`` what it becomes. ``report`` is a file descriptor
    that the container gets as REPORT_DESCRIPTOR; ``pid_file`` gets the id of its first process.
    """
    log = bundle / "log.json"
    command = [
        *rune, "--parent", str(os.getpid()), "--log", str(log), "--log-format", "json",
        "run", "--bundle", str(bundle), *(() if report is None else ("--preserve-fds", "1")),
        "--pid-file", str(pid_file), name,
    ]  # fmt: skip
    waited = {*FORWARDED, signal.SIGCHLD}
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        child = os.posix_spawn(
            command[0],
            command,
            {**os.environ, "ENCLAVIZE_RUNC": runc},
            file_actions=[
                *([] if stdin else [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]),
                *([] if report is None else [(os.POSIX_SPAWN_DUP2, report, REPORT_DESCRIPTOR)]),
            ],
            setsigmask=previous,
            setsigdef=_IGNORED_BY_PYTHON,
        )
        try:
            status = _wait(child, waited)
        except BaseException:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    if status == 1 and _has_error(log):
        return EXIT_NOT_STARTED  # runc has said why on standard error
    return status if status >= 0 else 128 - status


def _wait(child: int, waited: set[signal.Signals]) -> int:
    """Pass signals on to runc until it ends. What a terminal sends (^C), its whole group gets, runc too."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        received = signal.sigwaitinfo(waited)
        if received.si_signo != signal.SIGCHLD and received.si_code != _SI_KERNEL:
            os.kill(child, received.si_signo)


def _has_error(log: Path) -> bool:
    """Tell an error of runc from a program's exit code 1, by runc's log."""
    try:
        with log.open("rb") as file:
            lines = file.read(_LOG_LIMIT).splitlines()
    except OSError:
        return False
    return any(b'"level":"error"' in line for line in lines)
