"""Links of an image to the standard streams, by which servers log to where their container does."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from enclavize.rootfs.tree import Rootfs

_STREAMS = {
    **dict.fromkeys(("/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"), "/dev/stdout"),
    **dict.fromkeys(("/dev/stderr", "/proc/self/fd/2", "/dev/fd/2"), "/dev/stderr"),
}


def log_links(rootfs: Rootfs) -> dict[str, dict[str, str]]:
    """Return the streams by absolute path of the link, by absolute path of its folder; sorted."""
    found: dict[str, dict[str, str]] = {}
    for entry in rootfs.entries.of_types((FileType.SYMLINK,)):
        stream = _STREAMS.get(entry.link_target)
        folder = posixpath.dirname(f"/{entry.path}")
        if stream and folder not in ("/", "/dev"):
            found.setdefault(folder, {})[f"/{entry.path}"] = stream
    return {folder: dict(sorted(links.items())) for folder, links in sorted(found.items())}
