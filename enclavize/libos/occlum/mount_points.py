"""What must be in the container for Occlum, empty: engines mount theirs on it, or nothing.

The PAL reads three files of /etc, and crashes without any of them (src/pal/src/pal_load_file.c); a
hostfs is not mounted without the folder that is its source (src/libos/src/fs/rootfs.rs). Engines make both
when they mount there; whoever unpacks an image without one does not.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.rootfs.tar import DIRECTORY
from enclavize.tee.layout import ROOT
from enclavize.tee.tar import WRITABLE_MODE, parents, ustar_header

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

MOUNT_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf"})


def source_directories(mounts: Iterable[Mapping[str, Any]], links: Collection[str]) -> frozenset[str]:
    """Return the folders that are sources of a hostfs, by path from the root of the container.

    ``links`` are the instance's own: what is above them is there already.
    """
    sources = {
        posixpath.normpath(mount["source"]).lstrip("/")
        for mount in mounts
        if mount["type"] == "hostfs" and str(mount.get("source", "")).startswith("/")
    }
    return frozenset(source for source in sources if source and not _hidden(source, links))


def check_volume(path: str, links: Collection[str]) -> None:
    """Refuse a volume that would hide what the enclave needs. Raises UsageError."""
    if hidden := _hidden(path.lstrip("/"), {*links, *MOUNT_FILES}):
        raise UsageError(f"--volume {path} would hide /{hidden}, which the enclave needs")


def check_directories(directories: Iterable[str]) -> None:
    """Refuse folders that fit in no layer. Raises UsageError."""
    for path in directories:
        try:
            ustar_header(path, DIRECTORY, WRITABLE_MODE, 0, "")
        except ValueError as error:
            raise UsageError(
                f"the volume {'/' + path[:100]!r} has a path that is too long for a layer"
            ) from error


def _hidden(path: str, own: Iterable[str]) -> str:
    """Return what of the enclave's would be hidden by something at ``path``; "" if nothing would be."""
    if path == ROOT or path.startswith(f"{ROOT}/"):
        return ROOT
    return next((place for place in sorted(own) if path in (place, *parents(place))), "")
