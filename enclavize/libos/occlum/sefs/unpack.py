"""Unpack and verify images. Both read, and check, every byte."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.libos.occlum.sefs.image import SefsImage
from enclavize.libos.occlum.sefs.output import atomic_folder
from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.rootfs.beneath import Beneath, open_beneath

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.libos.occlum.sefs.image import Member
    from enclavize.libos.occlum.sefs.structures import Records


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What an image was found to hold. ``size`` is that of all files and links."""

    root_mac: bytes
    inodes: int
    size: int
    records: Records


def verify(
    folder: Path,
    *,
    key: bytes | None = None,
    root_mac: bytes | None = None,
    advance: Callable[[int], None] | None = None,
) -> Contents:
    """Check an image: every node, every MAC up to the root's, and that nothing is left over.

    Raises EnclavizeError; IntegrityError for what is wrong with the image.
    """
    return _read(SefsImage(folder, key, root_mac), _discard, advance)


def unpack(
    folder: Path,
    destination: Path,
    *,
    key: bytes | None = None,
    root_mac: bytes | None = None,
    advance: Callable[[int], None] | None = None,
) -> Contents:
    """Write the tree of an image into a new folder, checking all that ``verify`` does. Raises as it does.

    Nothing is written anywhere else, whatever is in the image, and nothing stays if it is found wrong.
    """
    image = SefsImage(folder, key, root_mac)
    modes: list[tuple[bytes, int]] = []

    def write(member: Member) -> None:
        inode = member.inode
        match inode.type:
            case InodeType.DIRECTORY:
                modes.append((member.path, inode.mode))
                if member.path:
                    beneath.directory(member.path, 0o700)
            case InodeType.SYMLINK:
                beneath.symlink(member.path, member.target())
            case InodeType.FILE:
                with os.fdopen(beneath.create(member.path, 0o600), "wb", 0) as output:
                    for piece in member.pieces():
                        _write(output.fileno(), piece)
                    os.fchmod(output.fileno(), inode.mode)

    with atomic_folder(destination, 0o700) as root:
        with Beneath(root) as beneath:
            contents = _read(image, write, advance)
        _set_modes(root, modes)
    return contents


def _read(
    image: SefsImage, take: Callable[[Member], None], advance: Callable[[int], None] | None
) -> Contents:
    inodes = size = 0
    for member in image.members():
        take(member)
        inodes += 1
        size += member.inode.size
        if advance:
            advance(member.inode.size)
    return Contents(root_mac=image.root_mac, inodes=inodes, size=size, records=image.records)


def _discard(member: Member) -> None:
    match member.inode.type:
        case InodeType.FILE:
            for _ in member.pieces():
                pass
        case InodeType.SYMLINK:
            member.target()
        case InodeType.DIRECTORY:
            pass


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _set_modes(root: Path, modes: list[tuple[bytes, int]]) -> None:
    """Give directories their modes, the inner ones first: without permissions nothing can be made in them."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path, mode in reversed(modes):
            folder = open_beneath(descriptor, path or b".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fchmod(folder, mode)
            finally:
                os.close(folder)
    finally:
        os.close(descriptor)
