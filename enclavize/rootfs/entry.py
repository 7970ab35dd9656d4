"""One file of an image: all that later stages want to know, gathered in the one pass over its layer."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME_MAX = 255
"""Longest name of a file in bytes (limits.h in Linux)."""

PATH_MAX = 4095
"""Longest path in bytes, without the closing NUL (limits.h in Linux)."""

IMPLIED_MODE = 0o755
"""Permissions of directories that no layer lists."""

NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})


class FileType(StrEnum):
    """Types of files that a layer can hold."""

    REGULAR = "regular"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "fifo"


STAT_TYPE = {
    FileType.REGULAR: stat.S_IFREG,
    FileType.DIRECTORY: stat.S_IFDIR,
    FileType.SYMLINK: stat.S_IFLNK,
    FileType.CHARACTER_DEVICE: stat.S_IFCHR,
    FileType.BLOCK_DEVICE: stat.S_IFBLK,
    FileType.FIFO: stat.S_IFIFO,
}
"""The type bits of ``st_mode``."""


EM_X86_64 = 62
"""``e_machine`` of x86-64."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ElfFacts:
    """What the ELF header, the program headers, the dynamic section and the code say.

    Fields of a damaged file that could not be read are empty; ``complete`` is False then.
    """

    bits: int
    """32 or 64."""
    machine: int
    """``e_machine``."""
    type: int
    """``e_type``; 2 is ET_EXEC, 3 is ET_DYN."""
    interpreter: str = ""
    """Path in PT_INTERP."""
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: str = ""
    runpath: str = ""
    pie: bool = False
    """A position independent executable: ET_DYN with PT_INTERP or DF_1_PIE."""
    static: bool = False
    """An executable that asks for no interpreter."""
    complete: bool = True
    imports: tuple[str, ...] = ()
    """Undefined dynamic symbols, as far as ``elf_symbols.py`` watches them."""
    versions: tuple[str, ...] = ()
    """The highest symbol version needed of each family: ``GLIBC_2.34``, ``GLIBCXX_3.4.29``."""
    defines: tuple[str, ...] = ()
    """The highest symbol version defined of each family."""
    syscalls: tuple[int, ...] = ()
    """Numbers of system calls that its code makes itself, as far as they can be told."""
    instructions: tuple[str, ...] = ()
    """Instructions that are special in enclaves, see ``elf_code.py``."""
    toolchain: str = ""
    """``go1.22.1``, ``rustc 1.80.0``, or nothing."""
    executable_stack: bool = False
    text_relocations: bool = False
    relative_relocations: bool = False
    """Whether there is DT_RELR, which old loaders pass over: the program crashes then."""

    @property
    def is_x86_64(self) -> bool:
        """Whether it is for the processors that have SGX, in 64 bits."""
        return (self.bits, self.machine) == (64, EM_X86_64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One path of the merged tree.

    Paths are canonical: no leading slash, no empty, ``.`` or ``..`` component; ``""`` is the root. Bytes that
    are not UTF-8 are surrogates (PEP 383), so that every path keeps its exact bytes; see :func:`path_bytes`.
    """

    path: str
    type: FileType
    mode: int
    """Permission bits with setuid, setgid and sticky."""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    """Seconds since 1970, may be negative."""
    size: int = 0
    """Bytes of content; of a symbolic link: of the target; otherwise 0."""
    link_target: str = ""
    rdev: tuple[int, int] = (0, 0)
    """Major and minor number of a device."""
    xattrs: Mapping[str, bytes] = field(default_factory=lambda: NO_XATTRS)
    sha256: bytes = b""
    """SHA-256 of the content, regular files only."""
    verity: bytes = b""
    """fs-verity digest of the content, regular files only."""
    layer: int = -1
    """Index of the layer that holds the file; -1: a directory that no layer lists."""
    member: int = -1
    """Which member of the layer's archive it is, counted from 0."""
    data_path: str = ""
    """The first of all paths of this file in the merged tree: equal for hard links, and for them only."""
    merkle_offset: int = 0
    """Where the Merkle tree is among those of its layer."""
    data_offset: int = 0
    """Where the content is in its layer's archive, before compression; 0: it has holes, and is in parts."""
    elf: ElfFacts | None = None
    interpreter_line: str = ""
    """The line after ``#!``, without blanks around it; "" if there is none."""
    content: bytes | None = None
    """The content of small and of well-known files, see ``layer.py``; None: not kept."""
