"""POSIX access lists as the extended attributes that layers carry (Linux, ``posix_acl_xattr.h``)."""

from __future__ import annotations

import struct

NOBODY = 0xFFFFFFFF


def access_list(*entries: tuple[int, ...]) -> bytes:
    """Return the attribute of entries that are each a tag, rights and, of users and groups, an id."""
    packed = [struct.pack("<HHI", *entry[:2], entry[2] if len(entry) > 2 else NOBODY) for entry in entries]
    return struct.pack("<I", 2) + b"".join(packed)
