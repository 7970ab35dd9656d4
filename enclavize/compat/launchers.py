"""Programs whose work is to start another: tini, gosu, env and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_VARIABLE = re.compile(r"\w+=", re.ASCII)


@dataclass(frozen=True)
class Launcher:
    """A program whose work is to start another: in a child of its own, or in its own place.

    The command stands behind options and ``operands``; ``valued`` are options with a value. ``drops`` tells
    whether it becomes another user, ``calls`` are system calls that it cannot do without.
    """

    forks: bool
    operands: int = 0
    valued: tuple[str, ...] = ()
    drops: bool = False
    calls: tuple[str, ...] = ()


_SET_USER = ("setgroups", "setgid", "setuid")


LAUNCHERS = {
    "tini": Launcher(forks=True, valued=("-e", "-p", "-w")),
    "tini-static": Launcher(forks=True, valued=("-e", "-p")),
    "docker-init": Launcher(forks=True, valued=("-e", "-p")),
    "dumb-init": Launcher(forks=True, valued=("-r", "--rewrite")),
    "catatonit": Launcher(forks=True),
    "timeout": Launcher(forks=True, operands=1, valued=("-k", "-s", "--signal", "--kill-after")),
    "gosu": Launcher(forks=False, operands=1, drops=True, calls=_SET_USER),
    "su-exec": Launcher(forks=False, operands=1, drops=True, calls=_SET_USER),
    "chpst": Launcher(
        forks=False, valued=("-u", "-U", "-e", "-/", "-n", "-l", "-L", "-m", "-d", "-o", "-p", "-f", "-c"),
        drops=True, calls=_SET_USER,
    ),
    "setuidgid": Launcher(forks=False, operands=1, drops=True, calls=_SET_USER),
    "s6-setuidgid": Launcher(forks=False, operands=1, drops=True, calls=_SET_USER),
    # It asks the kernel to keep its capabilities, and may be told to gain none (prctl(2)).
    "setpriv": Launcher(
        forks=False, drops=True, calls=("prctl",),
        valued=("--reuid", "--regid", "--groups", "--inh-caps", "--ambient-caps", "--bounding-set"),
    ),
    "capsh": Launcher(forks=False, drops=True, calls=("prctl", "capset")),
    "chroot": Launcher(forks=False, operands=1),
    "env": Launcher(forks=False, valued=("-u", "-C", "--unset", "--chdir")),
    "nice": Launcher(forks=False, valued=("-n", "--adjustment")),
    "nohup": Launcher(forks=False),
    "stdbuf": Launcher(forks=False, valued=("-i", "-o", "-e")),
}  # fmt: skip
"""Sources: the manual page of each."""


def command_behind(launcher: Launcher, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the command that a launcher is told to start, with its arguments, or ()."""
    operands, position = launcher.operands, 0
    while position < len(arguments):
        word = arguments[position]
        if word in launcher.valued:
            position += 1
        elif word.startswith("-") or _VARIABLE.match(word):
            pass
        elif operands:
            operands -= 1
        else:
            return tuple(arguments[position:])
        position += 1
    return ()
