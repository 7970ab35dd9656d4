"""What the program is started with: environment, signals, health check, as an engine reads the image."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.oci.image import ImageConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH where the image has none (github.com/moby/moby, oci/defaults.go)."""

HOST_SIGNALS = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM,
    signal.SIGCONT, signal.SIGWINCH,
)  # fmt: skip
"""What the host may send into the enclave besides the image's stop signal: to end, to reload, to redraw.

Never SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP: a program would take a lie for a fault of its own.
"""

DEFAULT_STOP_SIGNAL = "SIGTERM"
_FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP})
_REALTIME = re.compile(r"RT(MIN|MAX)(?:([+-])(\d{1,2}))?")
_SIGNAL_MAX = 64


def parse_signal(text: str) -> int:
    """Return the number of ``15``, ``TERM``, ``SIGTERM`` or ``SIGRTMIN+3``. Raises InvalidImageError."""
    name = text.upper().removeprefix("SIG")
    if name.isascii() and name.isdecimal() and 1 <= int(name[:4]) <= _SIGNAL_MAX:
        return int(name)
    if match := _REALTIME.fullmatch(name):
        base = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
        number = base + int(f"{match[2] or '+'}{match[3] or 0}")
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    elif f"SIG{name}" in signal.Signals.__members__:
        return signal.Signals[f"SIG{name}"]
    raise InvalidImageError(f"the image has the stop signal {text!r}, which is no signal")


def stop_signal_of(config: ImageConfig) -> int:
    """Return the number of the signal that ends the program. Raises InvalidImageError."""
    return parse_signal(config.stop_signal or DEFAULT_STOP_SIGNAL)


def host_signals(stop_signal: int) -> int:
    """Return the mask of signals that the host may send, bit (n - 1) for signal n."""
    allowed = {*HOST_SIGNALS, stop_signal} - _FAULTS
    return sum(1 << (number - 1) for number in sorted(allowed))


def environment(config: ImageConfig, home: str) -> tuple[str, ...]:
    """Return the image's variables, with PATH and HOME as an engine would add them.

    Of a name given twice the last one counts. Raises InvalidImageError for an item without a name.
    """
    variables: dict[str, str] = {"PATH": DEFAULT_PATH}
    for item in config.env:
        name, separator, value = item.partition("=")
        if not name:
            raise InvalidImageError(
                f"the image has the environment variable {item[:100]!r}, which has no name"
            )
        if separator:
            variables[name] = value
    variables.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in variables.items())


def health_command(config: ImageConfig) -> tuple[str, ...]:
    """Return the arguments of the health check, or () if there is none. Raises InvalidImageError."""
    test = _texts(config.healthcheck or {}, "Test")
    match test:
        case () | ("NONE", *_):
            return ()
        case ("CMD", *arguments) if arguments:
            return tuple(arguments)
        case ("CMD-SHELL", command):
            return (*_shell(config.raw), command)
        case _:
            raise InvalidImageError(f"the image has a health check of unknown form: {list(test)!r}"[:300])


def _shell(raw: Mapping[str, object]) -> tuple[str, ...]:
    """SHELL of the Dockerfile: docker runs health checks with it too."""
    config = raw.get("config")
    return (_texts(config, "Shell") if isinstance(config, dict) else ()) or ("/bin/sh", "-c")


def _texts(document: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise InvalidImageError(f"the configuration of the image: {key!r} is not a list of strings")
    return tuple(value)
