"""Folders that engines make where a VOLUME of the image is to be, if no layer has them.

``registry:2`` is such an image: its program expects the folder of its volume, and no layer lists it. Source:
moby, daemon/volumes_unix.go and volume/mounts; the folder belongs to root, mode 0755.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.rootfs.entry import NAME_MAX, PATH_MAX, Entry, FileType
from enclavize.rootfs.names import path_bytes
from enclavize.tee import layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.rootfs.tree import Rootfs

_MODE = 0o755


def with_volume_folders(rootfs: Rootfs, volumes: Iterable[str]) -> Rootfs:
    """Return a tree in which the folders of volumes are there, but for those of the enclave's own."""
    made: dict[str, Entry] = {}
    for volume in sorted(volumes):
        try:
            place = rootfs.destination(volume)
        except OSError:  # a circle of links: engines refuse it
            continue
        if place == layout.ROOT or place.startswith(f"{layout.ROOT}/") or not _may_be(place):
            continue
        names = place.split("/") if place else []
        for path in ("/".join(names[: count + 1]) for count in range(len(names))):
            entry = rootfs.get(path)
            if entry is None:
                made.setdefault(path, Entry(path=path, type=FileType.DIRECTORY, mode=_MODE, data_path=path))
            elif entry.type is not FileType.DIRECTORY:
                break
    return rootfs.changed(made=made.values()) if made else rootfs


def _may_be(path: str) -> bool:
    return len(path_bytes(path)) <= PATH_MAX and all(
        0 < len(path_bytes(name)) <= NAME_MAX and "\0" not in name for name in path.split("/") if path
    )
