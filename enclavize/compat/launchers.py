"""Programs whose work is to start another: tini, gosu, env and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_VARIABLE = re.compile(r"\w+=", re.ASCII)


@dataclass(frozen=True)
class Launcher:
    """A program whose work is to start another: in a child of its own, or in its own place.

    The command stands behind options and ``operands``; ``valued`` are options with a value. ``drops`` tells
    whether it becomes another user, ``calls`` are system calls that it cannot do without. ``session``: it
    opens one by PAM. ``takes_text``: but for ``-u USER``, its command is a text for a shell, behind ``-c``.
    """

    forks: bool
    operands: int = 0
    valued: tuple[str, ...] = ()
    drops: bool = False
    calls: tuple[str, ...] = ()
    session: bool = False
    takes_text: bool = False


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
    "su": Launcher(forks=True, drops=True, calls=_SET_USER, session=True, takes_text=True),
    "runuser": Launcher(
        forks=True, drops=True, calls=_SET_USER, session=True, takes_text=True,
        valued=("-u", "--user", "-g", "--group", "-G", "--supp-group", "-w", "--whitelist-environment"),
    ),
    "sudo": Launcher(
        forks=False, drops=True, calls=("getresuid", "setresuid"), session=True,
        valued=("-u", "--user", "-g", "--group", "-h", "--host", "-p", "--prompt", "-C", "-D", "-R", "-T"),
    ),
    "setsid": Launcher(forks=False),
    "numactl": Launcher(forks=False, valued=("-i", "-m", "-N", "-C", "-p", "-w")),
    "taskset": Launcher(forks=False, operands=1),
    "ionice": Launcher(forks=False, valued=("-c", "-n")),
    "chroot": Launcher(forks=False, operands=1),
    "env": Launcher(forks=False, valued=("-u", "-C", "--unset", "--chdir")),
    "nice": Launcher(forks=False, valued=("-n", "--adjustment")),
    "nohup": Launcher(forks=False),
    "stdbuf": Launcher(forks=False, valued=("-i", "-o", "-e")),
}  # fmt: skip
"""Sources: the manual page of each."""


def command_behind(launcher: Launcher, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the command that a launcher is told to start, with its arguments, or ()."""
    if launcher.takes_text and not any(word in ("-u", "--user") for word in arguments):
        return _shell_of(arguments)
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


def _shell_of(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the shell that su starts for a text; that of the user is not known, sh is like all of them."""
    given = dict(pairwise(arguments))
    text = given.get("-c") or given.get("--command")
    return (given.get("-s") or given.get("--shell") or "sh", "-c", text) if text else ()
