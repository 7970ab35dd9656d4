"""Layers of our own: uncompressed tar in the ustar format, the same bytes on every machine."""

from __future__ import annotations

import posixpath
import shutil
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from enclavize.oci.cache import BlobWriter

DIRECTORY_MODE = 0o555
END = bytes(2 * tarfile.BLOCKSIZE)
"""Two zero blocks end an archive (POSIX.1-2008, pax, "ustar Interchange Format"); nothing pads it."""


@dataclass(frozen=True, kw_only=True)
class TarFile:
    """A regular file to write; ``path`` is canonical and relative, ``size`` in bytes."""

    path: str
    mode: int
    size: int
    open: Callable[[], BinaryIO]


def write_layer(files: Iterable[TarFile], output: BlobWriter) -> None:
    """Write the files, sorted by path, each directory before what is in it; owner 0:0, time 0.

    Raises ValueError if a file does not have the size that it should have.
    """
    seen: set[str] = set()
    for file in sorted(files, key=lambda file: file.path):
        for directory in parents(file.path):
            if directory not in seen:
                seen.add(directory)
                output.write(header(directory, tarfile.DIRTYPE, DIRECTORY_MODE, 0))
        output.write(header(file.path, tarfile.REGTYPE, file.mode, file.size))
        before = output.size
        with file.open() as stream:
            shutil.copyfileobj(stream, output, 1 << 20)
        if output.size - before != file.size:
            raise ValueError(f"{file.path} has {output.size - before} bytes instead of {file.size}")
        output.write(bytes(-file.size % tarfile.BLOCKSIZE))
    output.write(END)


def header(path: str, kind: bytes, mode: int, size: int) -> bytes:
    """Return the 512 bytes before a member."""
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size = kind, mode, size
    return member.tobuf(tarfile.USTAR_FORMAT)


def parents(path: str) -> list[str]:
    """Return the directories above ``path``, the outermost first."""
    found = []
    while path := posixpath.dirname(path):
        found.append(path)
    return found[::-1]
