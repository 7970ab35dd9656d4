"""The time zone's name, for programs that would read it off the link ``/etc/localtime``.

The host follows links of an image behind Gramine's back: inside, ``/etc/localtime`` is a file with the right
times and no name. Java and ICU (Node.js) then take the first zone with the same content: Arctic/Longyearbyen
for Europe/Berlin. ``TZ`` says the name (POSIX; tzset(3)). Source: OpenJDK, TimeZone_md.c; ICU, putil.cpp.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Collection

    from enclavize.libos.gramine.selection import Selection
    from enclavize.rootfs.tree import Rootfs

ZONE = "TZ"
"""The variable."""
LOCAL_TIME = "/etc/localtime"
_ZONE = re.compile(r"/usr/share/zoneinfo/((?!posix/|right/)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*)", re.ASCII)


def time_zone(rootfs: Rootfs, selection: Selection, others: Collection[str]) -> str:
    """Return the zone that the image's link names and its programs can open; "" if there is none.

    ``others`` are the paths at which the program finds what is not the image's.
    """
    link = rootfs.find(LOCAL_TIME, follow=False)
    if link is None or not link.link_target or _lies_below(LOCAL_TIME, others):
        return ""
    target = posixpath.normpath(posixpath.join("/etc", link.link_target))
    match, zone = _ZONE.fullmatch(target), rootfs.find(target)
    if match is None or zone is None or zone.type is not FileType.REGULAR or _lies_below(target, others):
        return ""
    return "" if selection.leaves_out(target, f"/{zone.path}") else match[1]


def _lies_below(path: str, folders: Collection[str]) -> bool:
    return any(posixpath.commonpath((path, folder)) == folder for folder in folders)
