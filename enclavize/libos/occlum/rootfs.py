"""The root file system in an SEFS image, as the entries that other parts of the project know."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from enclavize.libos.occlum.sefs.image import SefsImage
from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.names import path_text
from enclavize.rootfs.tree import Rootfs

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.libos.occlum.sefs.image import Member

_TYPES = {
    InodeType.FILE: FileType.REGULAR,
    InodeType.DIRECTORY: FileType.DIRECTORY,
    InodeType.SYMLINK: FileType.SYMLINK,
}


def read_rootfs(folder: Path, key: bytes | None) -> Rootfs:
    """Read a whole image, verifying it. Owners and times are not kept in images; they are 0.

    Raises EnclavizeError; IntegrityError for what is wrong with the image.
    """
    image = SefsImage(folder, key, None)
    return Rootfs(map(_entry, image.members()), merkle_reader=lambda _entry: b"")


def _entry(member: Member) -> Entry:
    inode = member.inode
    content = hashlib.sha256()
    if inode.type is InodeType.FILE:
        for piece in member.pieces():
            content.update(piece)
    return Entry(
        path=path_text(member.path),
        type=_TYPES[inode.type],
        mode=inode.mode,
        size=inode.size if inode.type is not InodeType.DIRECTORY else 0,
        sha256=content.digest() if inode.type is InodeType.FILE else b"",
        link_target=path_text(member.target()) if inode.type is InodeType.SYMLINK else "",
        data_path=path_text(member.path),
    )
