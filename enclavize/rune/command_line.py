"""runc's command line, as far as creating a container needs it; the front end reads the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_GLOBAL_VALUES = frozenset({"log", "log-format", "root", "criu", "rootless"})
_CREATE_VALUES = frozenset({"b", "bundle", "console-socket", "pid-file", "pidfd-socket", "preserve-fds"})


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """``bundle`` and ``log`` are paths as they were given; ``log`` is empty if there is none."""

    command: str = ""
    bundle: str = "."
    log: str = ""
    log_format: str = "text"


def parse_command_line(argv: Sequence[str]) -> CommandLine:
    """Read the arguments of ``create`` or ``run``; what runc would refuse is left to runc."""
    found: dict[str, str] = {}
    end = _take_options(argv, 0, _GLOBAL_VALUES, found, interspersed=False)
    end += end < len(argv) and argv[end] == "--"
    _take_options(argv, end + 1, _CREATE_VALUES, found, interspersed=True)
    return CommandLine(
        command=argv[end] if end < len(argv) else "",
        bundle=found.get("bundle") or ".",
        log=found.get("log", ""),
        log_format=found.get("log-format", "text"),
    )


def _take_options(
    argv: Sequence[str], index: int, with_value: frozenset[str], found: dict[str, str], *, interspersed: bool
) -> int:
    """Add the options from ``index`` on to ``found``; return where the options end."""
    while index < len(argv) and argv[index] != "--":
        word = argv[index]
        if len(word) < 2 or not word.startswith("-"):
            if not interspersed:
                break
            index += 1
            continue
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        index += 1
        if not equals and name in with_value and index < len(argv):
            value = argv[index]
            index += 1
        found["bundle" if name == "b" else name] = value
    return index
