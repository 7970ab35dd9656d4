"""Hold the order of the LibOS's rooms: who may include whom (docs/libos.md, "Rooms").

A room is a folder of ``native/libos``. A file includes what it likes of its own room, of a room below only
the header that says what that room offers (``ROOM/ROOM.h``), of a room above nothing. `make check` runs this.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LIBOS = Path(__file__).resolve().parent / "libos"

ROOMS = ("base", "cpu", "boundary", "wait", "memory", "process", "signal", "time", "fs", "net", "syscall")
"""From the bottom up."""

ABOVE_ALL = "start.c"
"""The one file outside the rooms: it opens them."""

CALLED_BY_NAME = frozenset({"enclave_first_entry", "libos_start"})
"""The only calls upwards that go through no table: they are made before a table can be filled."""

ROWS = "calls.def"
"""A room's rows of the system call table, which the topmost room puts together."""

SHARED_HEADERS = {
    "abi.h": frozenset(ROOMS),
    "ocalls.h": frozenset({"boundary"}),
    "sgx_arch.h": frozenset({"cpu"}),
}
"""Headers of ``native/include``, which the PAL has too, and the rooms that may include them."""

FREESTANDING = frozenset({"stdarg.h", "stdbool.h", "stddef.h", "stdint.h"})

_INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
_SOURCES = frozenset({".c", ".h", ".S", ".def"})


def is_below(room: str, other: str) -> bool:
    """Return whether ``room`` stands strictly below ``other``."""
    return ROOMS.index(room) < ROOMS.index(other)


def _refusal(room: str, included: str) -> str | None:
    """Return why a file of ``room`` may not include this, or None."""
    target, slash, name = included.partition("/")
    if not slash:
        allowed = SHARED_HEADERS.get(included)
        if allowed is None:
            return "is written without its room"
        return None if room in allowed else "is not for this room"
    if target not in ROOMS:
        return "is in no room"
    if target == room:
        return None
    if not is_below(target, room):
        return f"is above: {room} may use only what stands below it"
    if name == f"{target}.h" or (name == ROWS and room == ROOMS[-1]):
        return None
    return f"is {target}'s own: from outside, only {target}/{target}.h may be included"


def _check_includes(path: Path, room: str) -> list[str]:
    faults = []
    for match in _INCLUDE.finditer(path.read_text(encoding="utf-8")):
        local, system = match.groups()
        if system is not None:
            why = None if system in FREESTANDING else "does not exist in an enclave"
        elif room == ABOVE_ALL:
            target, _, name = local.partition("/")
            why = None if target in ROOMS and name == f"{target}.h" else "is not a room's header"
        else:
            why = _refusal(room, local)
        if why is not None:
            faults.append(f"{path}: {local or system} {why}")
    return faults


def check(libos: Path = LIBOS) -> list[str]:
    """Return a line for each breach of the order below ``libos``; none if it holds."""
    faults = [
        f"{libos / room}: has no {room}.h" for room in ROOMS if not (libos / room / f"{room}.h").is_file()
    ]
    for path in sorted(libos.rglob("*")):
        if path.suffix not in _SOURCES:
            continue
        room, *rest = path.relative_to(libos).parts
        if (rest and room in ROOMS and len(rest) == 1) or (not rest and room == ABOVE_ALL):
            faults += _check_includes(path, room)
        else:
            faults.append(f"{path}: lies in no room")
    return faults


if __name__ == "__main__":
    if found := check():
        sys.exit("\n".join(found))
