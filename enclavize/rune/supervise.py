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
    from types import FrameType

FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGCONT, signal.SIGWINCH,
)  # fmt: skip
_PR_SET_PDEATHSIG = 1
_LOG_LIMIT = 1 << 20


def run_container(runc: str, state: Path, bundle: Path, name: str, *, stdin: bool, terminal: bool) -> int:
    """Run the bundle to its end and return its exit code, 128 + n if signal n ended it.

    Raises EnclavizeError if runc could not start it.
    """
    log = bundle / "log.json"
    command = [
        runc, "--root", str(state), "--log", str(log), "--log-format", "json",
        "run", "--bundle", str(bundle), name,
    ]  # fmt: skip
    # Without a terminal of its own, the container must get ^C once: from us. So runc is kept out of the
    # foreground group. With one, runc sets the terminal to raw mode, for which it has to be in that group; then
    # ^C makes no signal at all.
    child = subprocess.Popen(
        command,
        stdin=None if stdin else subprocess.DEVNULL,
        process_group=None if terminal else 0,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - no other thread is left
    )
    try:
        _forward_signals(child, also_to_group=terminal)
        status = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    if status == 1 and (message := last_error(log)):
        raise EnclavizeError(f"runc: {message}")
    return status if status >= 0 else 128 - status


def _forward_signals(child: subprocess.Popen[bytes], *, also_to_group: bool) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in FORWARDED:
        if not (also_to_group and number == signal.SIGWINCH):  # the terminal sends it to the whole group
            signal.signal(number, forward)


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when ``enclavize run`` is killed; runc passes it on to the container."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


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
