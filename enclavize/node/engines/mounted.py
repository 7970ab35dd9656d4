"""What a root file system is made of, as the kernel says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from enclavize.node.engines.found import AskedContainer

_ESCAPE = re.compile(r"\\([0-7]{3})")


def lower_folders(container: AskedContainer) -> list[str] | None:
    """Return the lower folders of an overlay, the top one first, as they were given; None: it is none.

    Source: proc_pid_mountinfo(5). The mount is that which rune sees. Raises EnclavizeError.
    """
    try:
        lines = Path(f"/proc/{container.pid}/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise EnclavizeError(
            f"cannot read the mounts of process {container.pid}: {error.strerror}"
        ) from error
    found = None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if _plain(fields.split()[4]) != str(container.rootfs):
            continue
        kind, _, options = rest.split(" ", 2)
        lowers = [item for item in options.split(",") if item.startswith("lowerdir=")]
        found = (
            _plain(lowers[0].removeprefix("lowerdir=")).split(":") if kind == "overlay" and lowers else None
        )
    return found


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
