"""Stop signals of images: numbers, and names with or without ``SIG`` (moby, pkg/signal)."""

from __future__ import annotations

import re
import signal

DEFAULT_STOP_SIGNAL = "SIGTERM"

_REALTIME = re.compile(r"RT(MIN|MAX)(?:([+-])(\d{1,2}))?")
_SIGNAL_MAX = 64


def parse_signal(text: str) -> int | None:
    """Return the number of ``15``, ``TERM``, ``SIGTERM`` or ``SIGRTMIN+3``; None if that is no signal."""
    name = text.upper().removeprefix("SIG")
    if name.isascii() and name.isdecimal() and 1 <= int(name[:4]) <= _SIGNAL_MAX:
        return int(name)
    if match := _REALTIME.fullmatch(name):
        base = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
        number = base + int(f"{match[2] or '+'}{match[3] or 0}")
        return number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else None
    return signal.Signals.__members__.get(f"SIG{name}")
