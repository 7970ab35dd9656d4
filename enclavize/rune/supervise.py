"""Run runc in the foreground and stand between it and whoever sends signals to ``enclavize run``."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGCONT, signal.SIGWINCH,
)  # fmt: skip
_PR_SET_PDEATHSIG = 1
_SI_KERNEL = 0x80
_LOG_LIMIT = 1 << 20


def run_container(runc: str, state: Path, bundle: Path, name: str, *, stdin: bool) -> int:
    """Run the bundle to its end and return its exit code, 128 + n if signal n ended it.

    Raises EnclavizeError if runc could not start it.
    """
    log = bundle / "log.json"
    command = [
        runc, "--root", str(state), "--log", str(log), "--log-format", "json",
        "run", "--bundle", str(bundle), name,
    ]  # fmt: skip
    waited = {*FORWARDED, signal.SIGCHLD}
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        child = subprocess.Popen(
            command,
            stdin=None if stdin else subprocess.DEVNULL,
            preexec_fn=lambda: _prepare_child(previous),  # noqa: PLW1509 - no other thread is left
        )
        try:
            status = _wait(child, waited)
        except BaseException:
            child.terminate()
            child.wait()
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    if status == 1 and (message := last_error(log)):
        raise EnclavizeError(f"runc: {message}")
    return status if status >= 0 else 128 - status


def _wait(child: subprocess.Popen[bytes], waited: set[signal.Signals]) -> int:
    """Pass signals on to runc until it ends. What a terminal sends (^C), its whole group gets, runc too."""
    while (status := child.poll()) is None:
        received = signal.sigwaitinfo(waited)
        if received.si_signo != signal.SIGCHLD and received.si_code != _SI_KERNEL:
            child.send_signal(received.si_signo)
    return status


def _prepare_child(mask: set[int | signal.Signals]) -> None:
    """Runs between fork and exec. The kernel sends runc SIGTERM when ``enclavize run`` itself is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def last_error(log: Path) -> str:
    """Return the last error in runc's log; empty if there is none."""
    found = ""
    for record in _records(log):
        if record.get("level") == "error":
            found = str(record.get("msg", ""))
    return found


def _records(log: Path) -> Iterator[dict[str, object]]:
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LOG_LIMIT)
    except OSError:
        return
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
