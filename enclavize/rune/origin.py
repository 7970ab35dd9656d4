"""Which folder of which file system a path is: what stays the same however often it is mounted again.

Source: proc_pid_mountinfo(5), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from enclavize.errors import EnclavizeError

_MOUNT_NUMBER = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
_ESCAPED = re.compile(rb"[ \t\n\\]")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """``device`` is MAJOR:MINOR, ``path`` that inside its file system, both as mountinfo writes them."""

    device: str
    path: str


def origin_of(folder: Path) -> Origin:
    """Find the origin of a folder; ``folder`` is absolute and has no links. Raises EnclavizeError."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        number = _MOUNT_NUMBER.search(Path(f"/proc/self/fdinfo/{descriptor}").read_bytes())
    finally:
        os.close(descriptor)
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n"):
        fields = line.split(b" ", 5)
        if number and fields[0] == number[1]:
            device, root, point = fields[2:5]
            return Origin(device=device.decode(), path=os.fsdecode(_path_in(root, point, folder)))
    raise EnclavizeError(f"cannot find the mount on which {folder} lies")


def _path_in(root: bytes, point: bytes, folder: Path) -> bytes:
    path = _ESCAPED.sub(lambda match: b"\\%03o" % match[0][0], os.fsencode(folder))
    below = path.removeprefix(point.rstrip(b"/"))
    if below == path and point != b"/":
        raise EnclavizeError(f"the mount on which {folder} lies is mounted elsewhere")
    return (root.rstrip(b"/") + below) or b"/"
