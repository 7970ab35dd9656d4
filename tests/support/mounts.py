"""Which folder of which file system a path is: what the hook of rune is told (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_MOUNT_NUMBER = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """``device`` is MAJOR:MINOR, ``path`` that inside its file system, both as mountinfo writes them."""

    device: str
    path: str


def origin_of(folder: Path) -> Origin:
    """Find the origin of a folder; ``folder`` is absolute and has no links."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        number = _MOUNT_NUMBER.search(Path(f"/proc/self/fdinfo/{descriptor}").read_bytes())
    finally:
        os.close(descriptor)
    assert number
    path = re.sub(rb"[ \t\n\\]", lambda match: b"\\%03o" % match[0][0], os.fsencode(folder))
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n"):
        fields = line.split(b" ", 5)
        if fields[0] == number[1]:
            device, root, point = fields[2:5]
            below = (root.rstrip(b"/") + path.removeprefix(point.rstrip(b"/"))) or b"/"
            return Origin(device=device.decode(), path=os.fsdecode(below))
    raise AssertionError(folder)
