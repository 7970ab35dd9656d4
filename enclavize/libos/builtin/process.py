"""What the program is started with: environment, signals, health check, as an engine reads the image."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.oci.stop_signal import parse_signal

if TYPE_CHECKING:
    from enclavize.oci.image_config import ImageConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH where the image has none (github.com/moby/moby, oci/defaults.go)."""

HOST_SIGNALS = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM,
    signal.SIGCONT, signal.SIGTSTP, signal.SIGWINCH,
)  # fmt: skip
"""What the host may send into the enclave besides the image's stop signal: to end, reload, stop, redraw.

Never SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP: a program would take a lie for a fault of its own.
"""

DEFAULT_SHELL = ("/bin/sh", "-c")
"""What runs health checks where the image has no SHELL."""

_FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP})


def stop_signal_of(config: ImageConfig) -> int:
    """Return the number of the signal that ends the program."""
    return parse_signal(config.stop_signal) or signal.SIGTERM


def host_signals(stop_signal: int) -> int:
    """Return the mask of signals that the host may send, bit (n - 1) for signal n."""
    allowed = {*HOST_SIGNALS, stop_signal} - _FAULTS
    return sum(1 << (number - 1) for number in sorted(allowed))


def environment(config: ImageConfig, home: str) -> tuple[str, ...]:
    """Return the image's variables, with PATH and HOME as an engine would add them.

    Of a name given twice the last one counts; PATH without a value takes away what it had (moby,
    container/env.go). Raises InvalidImageError for a value without a name, which runc refuses.
    """
    variables: dict[str, str] = {"PATH": DEFAULT_PATH}
    for item in config.env:
        name, separator, value = item.partition("=")
        if separator and not name:
            raise InvalidImageError(
                f"the image has the environment variable {item[:100]!r}, which has no name"
            )
        if separator:
            variables[name] = value
        elif name == "PATH":
            variables.pop(name, None)
    variables.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in variables.items())


def health_command(config: ImageConfig) -> tuple[str, ...]:
    """Return the arguments of the health check, or () if there is none (moby, daemon/health.go)."""
    match tuple((config.healthcheck or {}).get("Test") or ()):
        case ("CMD", *arguments):
            return tuple(arguments)
        case ("CMD-SHELL", *arguments):
            return (*(config.shell or DEFAULT_SHELL), *arguments)
        case _:
            return ()
