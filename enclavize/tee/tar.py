"""Layers of our own: uncompressed tar in the ustar format, the same bytes on every machine.

A verifier makes them again and compares (comparison.py), so what a format version writes never changes:
neither here nor with the version of a library. A new form is a new entry of ``LAYER_WRITERS``; the old stay.

Source: POSIX.1-2017, pax, "ustar Interchange Format".
"""

from __future__ import annotations

import posixpath
import shutil
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from enclavize.rootfs.tar import DIRECTORY, REGULAR, SYMLINK
from enclavize.rootfs.tar_header import RECORD_SIZE
from enclavize.tee.layout import FORMAT_VERSION, FORMAT_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from enclavize.oci.cache import BlobWriter

DIRECTORY_MODE = 0o555
FILE_MODE, PROGRAM_MODE = 0o444, 0o555
FILE_MODES = frozenset({FILE_MODE, PROGRAM_MODE})
WRITTEN_MODE = 0o666
"""Of files that the LibOS opens for writing, whoever it runs as."""
LINK_MODE = 0o777
WRITABLE_MODE = 0o777
"""Of directories that the LibOS writes to: the image's USER may be any."""

_NAME_SIZE, _PREFIX_SIZE = 100, 155
_MAX_SIZE = 8**11 - 1
_OWNER, _TIME = b"%07o\0" % 0, b"%011o\0" % 0
_MAGIC = b"ustar\x0000"
_NO_NAMES = bytes(32 + 32 + 8 + 8)
"""User, group, and the numbers of a device."""


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


@dataclass(frozen=True, kw_only=True)
class LayerWriter:
    """How layers of one format version are written.

    ``arrangement`` orders paths, and puts the directories above them in between; ``header`` makes what stands
    before a member from its path, type, mode, size in bytes, and target; ``end`` ends the archive.
    """

    arrangement: Callable[[Iterable[str]], Iterator[str]]
    header: Callable[[str, bytes, int, int, str], bytes]
    end: bytes


def write_layer(members: Iterable[TarMember], output: BlobWriter, *, version: int = FORMAT_VERSION) -> None:
    """Write the members, and the directories above them; owner 0:0, time 0.

    Raises ValueError if a file does not have the size that it should have.
    """
    form = LAYER_WRITERS[version]
    by_path = {member.path: member for member in members}
    for path in form.arrangement(by_path):
        match by_path.get(path):
            case TarFile() as file:
                output.write(form.header(path, REGULAR, file.mode, file.size, ""))
                _write_data(file, output)
            case TarLink(target=target):
                output.write(form.header(path, SYMLINK, LINK_MODE, 0, target))
            case TarDirectory(mode=mode):
                output.write(form.header(path, DIRECTORY, mode, 0, ""))
            case None:
                output.write(form.header(path, DIRECTORY, DIRECTORY_MODE, 0, ""))
    output.write(form.end)


def _write_data(file: TarFile, output: BlobWriter) -> None:
    before = output.size
    with file.open() as stream:
        shutil.copyfileobj(stream, output, 1 << 20)
    if output.size - before != file.size:
        raise ValueError(f"{file.path} has {output.size - before} bytes instead of {file.size}")
    output.write(bytes(-file.size % RECORD_SIZE))


def ustar_header(path: str, kind: bytes, mode: int, size: int, target: str) -> bytes:
    """Return the 512 bytes before a member. Raises ValueError for what they have no room for."""
    name = path.encode("utf-8", "surrogateescape") + (b"/" if kind == DIRECTORY else b"")
    prefix, name = _split(name)
    link = target.encode("utf-8", "surrogateescape")
    if len(link) > _NAME_SIZE or size > _MAX_SIZE:
        raise ValueError(f"{path!r} does not fit into a ustar header")
    before = name.ljust(_NAME_SIZE, b"\0") + b"%07o\0" % mode + 2 * _OWNER + b"%011o\0" % size + _TIME
    after = kind + link.ljust(_NAME_SIZE, b"\0") + _MAGIC + _NO_NAMES + prefix.ljust(_PREFIX_SIZE + 12, b"\0")
    return before + b"%06o\0 " % (sum(before) + 8 * ord(" ") + sum(after)) + after


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Split a long name at the first slash where both parts fit."""
    if len(name) <= _NAME_SIZE:
        return b"", name
    at = name.find(b"/")
    while at != -1:
        if at <= _PREFIX_SIZE and 0 < len(name) - at - 1 <= _NAME_SIZE:
            return name[:at], name[at + 1 :]
        at = name.find(b"/", at + 1)
    raise ValueError(f"{name!r} does not fit into a ustar header")


def sorted_with_directories(paths: Iterable[str]) -> Iterator[str]:
    """Yield the paths sorted, each directory before what is in it."""
    seen: set[str] = set()
    for path in sorted(paths):
        for place in (*parents(path), path):
            if place not in seen:
                seen.add(place)
                yield place


def parents(path: str) -> list[str]:
    """Return the directories above ``path``, the outermost first, without ``/``."""
    found = []
    while (path := posixpath.dirname(path)) not in {"", "/", "//"}:
        found.append(path)
    return found[::-1]


_SORTED_USTAR = LayerWriter(
    arrangement=sorted_with_directories, header=ustar_header, end=bytes(2 * RECORD_SIZE)
)

LAYER_WRITERS = MappingProxyType(dict.fromkeys(FORMAT_VERSIONS, _SORTED_USTAR))
"""By format version; all are written alike. Version 2 differs in ``enclave.json`` alone."""
