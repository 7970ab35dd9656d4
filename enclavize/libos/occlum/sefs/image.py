"""Walk through an image that anybody may have made. Every byte that is handed out was checked first."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, IntegrityError, UsageError
from enclavize.libos.occlum.sefs.keys import notation
from enclavize.libos.occlum.sefs.node import PLAIN
from enclavize.libos.occlum.sefs.protection import protection_for
from enclavize.libos.occlum.sefs.reader import ProtectedFile
from enclavize.libos.occlum.sefs.structures import (
    BLOCK_SIZE,
    FREE_MAP,
    GROUP_BLOCKS,
    MAGIC,
    METADATA,
    NARROW,
    PATH_MAX,
    ROOT,
    SMALLEST_INODE,
    SUPERBLOCK,
    UNTYPED,
    WIDE,
    InodeType,
    parse_inode,
)
from enclavize.libos.occlum.sefs.tree import is_name, is_utf8, show
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.libos.occlum.sefs.structures import (
        Inode,
        Records,
    )

_GROUP_SIZE = GROUP_BLOCKS * BLOCK_SIZE


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file, directory or link; its ``path`` is relative, that of the root is empty."""

    path: bytes
    inode: Inode
    file: ProtectedFile

    def pieces(self) -> Iterator[memoryview]:
        """Yield the content of a file. Raises IntegrityError."""
        with _about(self.inode.file_name):
            yield from self.file.pieces()

    def target(self) -> bytes:
        """Return the target of a symbolic link. Raises IntegrityError."""
        with _about(self.inode.file_name):
            if not 0 < self.inode.size <= PATH_MAX:
                raise IntegrityError(f"a link's target cannot have {self.inode.size} bytes")
            target = self.file.content()
            if b"\0" in target:
                raise IntegrityError("a link's target has a NUL in it")
            return target


class SefsImage:
    """An image that is open; its metadata is checked. ``records`` are those that it was found to have."""

    def __init__(self, folder: Path, key: bytes | None, root_mac: bytes | None) -> None:
        """Read the metadata. Raises EnclavizeError; IntegrityError also if the root MAC is another one."""
        if not (folder / METADATA).is_file():
            raise UsageError(f"{folder} is no SEFS image: it has no file {METADATA!r}")
        self._folder = folder
        self._protection = protection_for(key)
        with storage_errors("read", folder):
            self._names = set(os.listdir(folder))  # noqa: PTH208 - names alone
        with self._open(METADATA) as file:
            self.root_mac = file.mac
            if root_mac is not None and root_mac != file.mac:
                raise IntegrityError(
                    f"the root MAC is {notation(file.mac)}, not {notation(root_mac)} as expected"
                )
            if file.size > (len(self._names) // (GROUP_BLOCKS - 2) + 1) * _GROUP_SIZE:
                raise IntegrityError(f"{file.size} bytes are too many for {len(self._names)} files")
            with _about(METADATA):
                self._metadata = file.content()
            self._used = self._read_maps()
        self.records = self._find_records()

    def members(self) -> Iterator[Member]:
        """Yield every member, directories before what is in them. The content is to be read at once.

        Raises IntegrityError, at the end also for files and blocks that no directory leads to.
        """
        seen = {ROOT}
        names = {METADATA}
        waiting = [(b"", self._inode(ROOT), ROOT)]
        while waiting:
            path, inode, parent = waiting.pop()
            if inode.file_name in names:
                raise IntegrityError(f"two inodes have the file {inode.file_name}")
            names.add(inode.file_name)
            with self._open(inode.file_name) as file:
                _check_file(inode, file)
                children = self._children(path, inode, parent, file, seen)
                yield Member(path=path, inode=inode, file=file)
            waiting.extend(reversed(children))
        if len(seen) != self._used:
            raise IntegrityError(f"{self._used - len(seen)} inodes are in no directory")
        for name in sorted(self._names - names):
            raise IntegrityError(f"{self._folder / name} belongs to no inode")

    @contextmanager
    def _open(self, name: str) -> Iterator[ProtectedFile]:
        path = self._folder / name
        with storage_errors("read", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise IntegrityError(f"{path} is no regular file")
            stream = FileIO(descriptor, closefd=False)
            with _about(name):
                file = ProtectedFile(stream, name.encode(), self._protection)
            yield file
        finally:
            os.close(descriptor)

    def _read_maps(self) -> int:
        """Check superblock and free maps; return how many inodes there are."""
        with _about(METADATA):
            if len(self._metadata) < ROOT * BLOCK_SIZE + SMALLEST_INODE:
                raise IntegrityError("it is too short")
            magic, blocks, unused, groups = SUPERBLOCK.unpack_from(self._metadata)
            if magic != MAGIC:
                raise IntegrityError("it does not begin as SEFS metadata does")
            size = len(self._metadata)
            if blocks != groups * GROUP_BLOCKS or not _map_end(groups - 1) <= size <= groups * _GROUP_SIZE:
                raise IntegrityError(f"{size} bytes cannot be {groups} groups of {blocks} blocks")
            free = sum(self._free_map(group).bit_count() for group in range(groups))
            if free != unused:
                raise IntegrityError(f"{free} blocks are free, not {unused} as the superblock says")
            return int(blocks) - free - 1 - int(groups)

    def _free_map(self, group: int) -> int:
        end = _map_end(group)
        return int.from_bytes(self._metadata[end - BLOCK_SIZE : end], "little")

    def _find_records(self) -> Records:
        """Tell the release by the root: where its inode names a file, and how long its entries are.

        In no image do two of them fit. Raises IntegrityError.
        """
        block = self._metadata[ROOT * BLOCK_SIZE : (ROOT + 1) * BLOCK_SIZE]
        for records in (WIDE, NARROW, UNTYPED):
            if len(block) < records.inode.size:
                continue
            root = parse_inode(ROOT, block, records)
            if root.file_name not in self._names:
                continue
            with self._open(root.file_name) as file:
                if file.size == root.entries * records.entry.size:
                    return records
        raise IntegrityError(f"{METADATA}: the root directory is not one of a known release of Occlum")

    def _inode(self, number: int) -> Inode:
        """Return an inode that is in use. Raises IntegrityError."""
        group, block = divmod(number, GROUP_BLOCKS)
        offset = number * BLOCK_SIZE
        if number < ROOT or block == FREE_MAP or offset + self.records.inode.size > len(self._metadata):
            raise IntegrityError(f"there is no inode {number}")
        if self._free_map(group) >> block & 1:
            raise IntegrityError(f"inode {number} is not in use")
        record = self._metadata[offset : offset + self.records.inode.size]
        return parse_inode(number, record, self.records)

    def _children(
        self, path: bytes, inode: Inode, parent: int, file: ProtectedFile, seen: set[int]
    ) -> list[tuple[bytes, Inode, int]]:
        """Return what a directory leads to, each inode for the first time; nothing for other inodes."""
        if inode.type is not InodeType.DIRECTORY:
            return []
        with _about(f"directory /{show(path)}"):
            size = inode.entries * self.records.entry.size
            if not 2 <= inode.entries <= len(self._names) + 2 or file.size != size:
                raise IntegrityError(f"{inode.entries} entries do not have {file.size} bytes")
            entries = list(map(_parse_entry, self.records.entries(file.content())))
            for entry, name, number in zip(entries, (b".", b".."), (inode.number, parent), strict=False):
                if entry[:2] != (number, name) or entry[2] not in (None, InodeType.DIRECTORY):
                    raise IntegrityError("it does not begin with itself and its parent")
            found = []
            names = set()
            for number, name, kind in entries[2:]:
                child = self._inode(number)
                full = path + b"/" + name if path else name
                if number in seen:
                    raise IntegrityError(f"inode {number} has a second name, {show(name)}")
                if name in names or not is_name(name) or not is_utf8(name) or len(full) > PATH_MAX:
                    raise IntegrityError(f"the name {show(name)} cannot be, or is there twice")
                if kind not in (None, child.type):
                    raise IntegrityError(f"{show(name)} is of type {kind}, its inode of type {child.type}")
                seen.add(number)
                names.add(name)
                found.append((full, child, inode.number))
            folders = sum(child.type is InodeType.DIRECTORY for _, child, _ in found)
            if inode.links != 2 + folders:
                raise IntegrityError(f"{inode.links} links do not fit {folders} folders in it")
            return found


def stated_mac(folder: Path) -> bytes:
    """Return the root MAC that an image says it has; nothing is verified. Raises IntegrityError."""
    tag: bytes = _stated(folder)[8]
    return tag


def states_encryption(folder: Path) -> bool:
    """Tell whether an image says that it is encrypted. Raises IntegrityError."""
    return not _stated(folder)[10]


def _stated(folder: Path) -> tuple[Any, ...]:
    path = folder / METADATA
    with storage_errors("read", path), path.open("rb") as file:
        plain = file.read(PLAIN.size)
    if len(plain) < PLAIN.size:
        raise IntegrityError(f"{path.name}: it is too short")
    return PLAIN.unpack(plain)


def _check_file(inode: Inode, file: ProtectedFile) -> None:
    with _about(inode.file_name):
        if inode.mac != file.mac:
            raise IntegrityError(
                f"the MAC is {notation(file.mac)}, not {notation(inode.mac)} as its inode says"
            )
        if inode.type is InodeType.DIRECTORY:
            return
        if inode.size != file.size:
            raise IntegrityError(f"it holds {file.size} bytes, not {inode.size} as its inode says")
        if inode.links != 1:
            raise IntegrityError(f"its inode has {inode.links} links instead of one")


def _parse_entry(record: tuple[int, bytes, int | None]) -> tuple[int, bytes, int | None]:
    number, field, kind = record
    name, end, _rest = field.partition(b"\0")
    if not end:
        raise IntegrityError(f"the name {show(name)} has no end")
    return number, name, kind


def _map_end(group: int) -> int:
    return (group * GROUP_BLOCKS + FREE_MAP + 1) * BLOCK_SIZE


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Say in errors what they are about."""
    try:
        yield
    except OSError as error:
        raise EnclavizeError(f"cannot read {what}: {error.strerror}") from error
    except IntegrityError as error:
        raise IntegrityError(f"{what}: {error}", hint=error.hint) from error
