"""Layers of our own: uncompressed tar in the ustar format, the same bytes on every machine."""

from __future__ import annotations

import posixpath
import shutil
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from enclavize.oci.cache import BlobWriter

DIRECTORY_MODE = 0o555
FILE_MODES = frozenset({0o444, 0o555})
LINK_MODE = 0o777
WRITABLE_MODE = 0o777
"""Of directories that the LibOS writes to: the image's USER may be any."""
END = bytes(2 * tarfile.BLOCKSIZE)
"""Two zero blocks end an archive (POSIX.1-2008, pax, "ustar Interchange Format"); nothing pads it."""


@dataclass(frozen=True, kw_only=True)
class TarFile:
    """A regular file to write; ``path`` is canonical and relative, ``size`` in bytes."""

    path: str
    mode: int
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, kw_only=True)
class TarDirectory:
    """A directory that is not only there for what is in it."""

    path: str
    mode: int


@dataclass(frozen=True, kw_only=True)
class TarLink:
    """A symbolic link."""

    path: str
    target: str


TarMember: TypeAlias = TarFile | TarDirectory | TarLink


def write_layer(members: Iterable[TarMember], output: BlobWriter) -> None:
    """Write the members, sorted by path, each directory before what is in it; owner 0:0, time 0.

    Raises ValueError if a file does not have the size that it should have.
    """
    seen: set[str] = set()
    for member in sorted(members, key=lambda member: member.path):
        for directory in parents(member.path):
            if directory not in seen:
                seen.add(directory)
                output.write(header(directory, tarfile.DIRTYPE, DIRECTORY_MODE))
        match member:
            case TarFile():
                _write_file(member, output)
            case TarDirectory():
                seen.add(member.path)
                output.write(header(member.path, tarfile.DIRTYPE, member.mode))
            case TarLink():
                output.write(header(member.path, tarfile.SYMTYPE, LINK_MODE, target=member.target))
    output.write(END)


def _write_file(file: TarFile, output: BlobWriter) -> None:
    output.write(header(file.path, tarfile.REGTYPE, file.mode, size=file.size))
    before = output.size
    with file.open() as stream:
        shutil.copyfileobj(stream, output, 1 << 20)
    if output.size - before != file.size:
        raise ValueError(f"{file.path} has {output.size - before} bytes instead of {file.size}")
    output.write(bytes(-file.size % tarfile.BLOCKSIZE))


def header(path: str, kind: bytes, mode: int, *, size: int = 0, target: str = "") -> bytes:
    """Return the 512 bytes before a member."""
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size, member.linkname = kind, mode, size, target
    return member.tobuf(tarfile.USTAR_FORMAT)


def parents(path: str) -> list[str]:
    """Return the directories above ``path``, the outermost first."""
    found = []
    while path := posixpath.dirname(path):
        found.append(path)
    return found[::-1]
