"""Files of an image that later stages read: by their usual paths, wherever these lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

KEEP_NAMED_SIZE = 64 << 10
"""Well-known files of up to this many bytes are kept in the index of their layer."""
KEPT_FILES = frozenset(
    {
        "etc/group", "etc/hostname", "etc/hosts", "etc/ld-musl-x86_64.path", "etc/ld.so.conf",
        "etc/nsswitch.conf",
        "etc/os-release", "etc/passwd", "etc/resolv.conf", "usr/lib/os-release",
    }
)  # fmt: skip
KEPT_FOLDERS = ("etc/ld.so.conf.d/",)
"""The same for all files below."""


def well_known_files(rootfs: Rootfs) -> Iterator[Entry]:
    """Yield what the well-known paths lead to in a tree, links followed."""
    for path in sorted(KEPT_FILES):
        if (entry := rootfs.find(path)) is not None:
            yield entry
    for folder in KEPT_FOLDERS:
        if (entry := rootfs.find(folder)) is not None:
            for child in rootfs.children(entry.path):
                if (found := rootfs.find(child.path)) is not None:
                    yield found
