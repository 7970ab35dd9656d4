"""Read ELF facts from a file that passes by once, in pieces, and may be damaged or hostile.

Sources: System V gABI, chapters 4 and 5; include/uapi/linux/elf.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.rootfs import native_code
from enclavize.rootfs.elf_code import MAX_CODE_SEGMENTS, CodeScan
from enclavize.rootfs.elf_symbols import (
    MAX_SYMBOLS,
    MAX_VERSIONS_SIZE,
    SYMBOL_SIZE,
    defined_versions,
    needed_versions,
    watched_imports,
)
from enclavize.rootfs.entry import ElfFacts
from enclavize.rootfs.names import path_text
from enclavize.rootfs.native_code import NativeCodeScan

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"\x7fELF"

MAX_PROGRAM_HEADERS = 1024
MAX_DYNAMIC_SIZE = 256 << 10
"""Bytes of a dynamic section that are looked at."""
MAX_STRINGS_SIZE = 8 << 20
"""Bytes kept of a string table, and of the start of a file: the table mostly stands there.

Programs that export all that they are linked of have larger ones (Debian's pandoc: 37 MB).
"""
MAX_DYNAMIC_ENTRIES = 4096
MAX_STRING = 4096
MAX_STRINGS_KEPT = 64 << 10
"""Bytes of all strings taken from one file."""

_LITTLE_ENDIAN = 1
_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_PT_GNU_STACK = 0x6474E551
_PF_X = 1
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 10, 14, 15, 29
_DT_SYMTAB, _DT_TEXTREL, _DT_FLAGS = 6, 22, 30
_DT_RELR = 36
_DT_VERDEF, _DT_VERNEED = 0x6FFFFFFC, 0x6FFFFFFE
_DF_TEXTREL = 4
_TABLE_TAGS = (4, 5, 7, 12, 13, 17, 23, 25, 26, 32, 36, 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE)
"""Tags with an address that may come next behind .dynsym: HASH, STRTAB, RELA, INIT, FINI, REL, JMPREL, the
arrays, RELR, GNU_HASH, VERSYM, VERDEF, VERNEED."""
_DT_FLAGS_1 = 0x6FFFFFFB
_DF_1_PIE = 0x08000000


@dataclass(frozen=True)
class _Class:
    """Layouts that differ between 32 and 64 bits."""

    bits: int
    header: struct.Struct
    """From e_type on: type, machine, version, entry, phoff, shoff, flags, ehsize, phentsize, phnum."""
    program_header: struct.Struct
    dynamic: struct.Struct


_CLASSES = {
    1: _Class(32, struct.Struct("<HHIIIIIHHH"), struct.Struct("<8I"), struct.Struct("<iI")),
    2: _Class(64, struct.Struct("<HHIQQQIHHH"), struct.Struct("<IIQQQQQQ"), struct.Struct("<qQ")),
}
_IDENT_SIZE = 16


@dataclass(frozen=True)
class _Segment:
    type: int
    offset: int
    address: int
    size: int
    flags: int


class _Window:
    """A range of the file that is wanted; it collects what passes by."""

    def __init__(self, start: int, size: int) -> None:
        self.start = start
        self.end = start + size
        self._parts: list[bytes | memoryview] = []
        self._size = 0

    def feed(self, offset: int, piece: bytes | memoryview) -> None:
        """Take the piece at ``offset`` of the file. Pieces come in order; what passed before is lost."""
        here = self.start + self._size
        if offset <= here < min(self.end, offset + len(piece)):
            part = piece[here - offset : self.end - offset]
            self._parts.append(part)
            self._size += len(part)

    def pass_on(self, other: _Window) -> None:
        """Feed another window with what was collected."""
        offset = self.start
        for part in self._parts:
            other.feed(offset, part)
            offset += len(part)

    def data(self) -> bytes:
        """Return what was collected: a prefix of the range."""
        return b"".join(self._parts)


class ElfScanner:
    """Feed it a file from the first byte on; ``facts`` may be asked at the end. Nothing in a file raises."""

    def __init__(self) -> None:
        self._offset = 0
        self._class: _Class | None = None
        self._type = self._machine = 0
        self._segments: Sequence[_Segment] = ()
        self._dynamic: _Window | None = None
        self._interpreter: _Window | None = None
        self._start: _Window | None = None
        """What passed before the dynamic section, which tells what of it is wanted."""
        self._strings: _Window | None = None
        self._strings_size = 0
        """Of the whole table, of which the window may be a part."""
        self._symbols: _Window | None = None
        self._needed_versions: _Window | None = None
        self._defined_versions: _Window | None = None
        self._code: CodeScan | NativeCodeScan | None = None
        self._complete = True
        self._entries: list[tuple[int, int]] | None = None

    def feed(self, piece: bytes | memoryview) -> None:
        """Take the next piece; the first one has the ELF header and the program headers, if it can be."""
        if not self._offset:
            self._read_headers(bytes(piece[: 64 << 10]))
        if self._start is not None:
            self._start.feed(self._offset, piece)
        for window in (self._interpreter, self._dynamic):
            if window is not None:
                window.feed(self._offset, piece)
        end = self._offset + len(piece)
        if self._dynamic is not None and self._entries is None and end >= self._dynamic.end:
            self._read_dynamic(self._dynamic.data())
            self._start = None
        for window in (self._strings, self._symbols, self._needed_versions, self._defined_versions):
            if window is not None:
                window.feed(self._offset, piece)
        if self._code is not None:
            self._code.feed(self._offset, piece)
        self._offset = end

    def facts(self) -> ElfFacts | None:
        """Return what was found; None if this is no ELF file of a known class and byte order."""
        if self._class is None:
            return None
        interpreter = ""
        if self._interpreter is not None:
            interpreter = path_text(self._interpreter.data().partition(b"\0")[0])
        if self._dynamic is not None and self._entries is None:
            self._complete = False
        if any(
            segment.type == _PT_LOAD and segment.offset + segment.size > self._offset
            for segment in self._segments
        ):
            self._complete = False
        entries = self._entries or []
        strings = self._strings.data() if self._strings is not None else b""
        single: dict[int, str] = {}
        needed: list[str] = []
        kept = 0
        for tag, value in entries:
            if tag not in {_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH}:
                continue
            end = strings.find(b"\0", value, value + MAX_STRING)
            if end < 0 and self._is_beyond_bounds(value, len(strings)):
                continue
            kept += max(end - value, 0)
            if end < 0 or kept > MAX_STRINGS_KEPT:
                self._complete = False
            elif tag == _DT_NEEDED:
                needed.append(path_text(strings[value:end]))
            else:
                single[tag] = path_text(strings[value:end])
        flags = next((value for tag, value in entries if tag == _DT_FLAGS_1), 0)
        pie = self._type == _ET_DYN and bool(interpreter or flags & _DF_1_PIE)
        return ElfFacts(
            bits=self._class.bits,
            machine=self._machine,
            type=self._type,
            interpreter=interpreter,
            soname=single.get(_DT_SONAME, ""),
            needed=tuple(needed),
            rpath=single.get(_DT_RPATH, ""),
            runpath=single.get(_DT_RUNPATH, ""),
            pie=pie,
            static=not interpreter and not needed and (pie or self._type == _ET_EXEC),
            complete=self._complete,
            imports=watched_imports(self._symbols.data(), strings) if self._symbols else (),
            versions=(
                needed_versions(self._needed_versions.data(), strings) if self._needed_versions else ()
            ),
            defines=(
                defined_versions(self._defined_versions.data(), strings) if self._defined_versions else ()
            ),
            syscalls=self._code.syscalls if self._code else (),
            instructions=self._code.instructions if self._code else (),
            toolchain=self._code.toolchain if self._code else "",
            executable_stack=any(
                segment.type == _PT_GNU_STACK and segment.flags & _PF_X for segment in self._segments
            ),
            text_relocations=any(
                tag == _DT_TEXTREL or (tag == _DT_FLAGS and value & _DF_TEXTREL) for tag, value in entries
            ),
            relative_relocations=any(tag == _DT_RELR for tag, _ in entries),
        )

    def _is_beyond_bounds(self, value: int, kept: int) -> bool:
        """Tell whether a string is in the file, but in the part of a large table that was not kept."""
        if self._strings is None or not kept - MAX_STRING < value < self._strings_size:
            return False
        return self._strings.start + self._strings_size <= self._offset

    def _read_headers(self, head: bytes) -> None:
        layout = _CLASSES.get(head[4]) if len(head) >= 52 and head[5] == _LITTLE_ENDIAN else None
        if layout is None or len(head) < _IDENT_SIZE + layout.header.size:
            return
        self._class = layout
        header = layout.header.unpack_from(head, _IDENT_SIZE)
        self._type, self._machine, _, _, table, _, _, _, entry_size, count = header
        if not count:
            return
        if entry_size != layout.program_header.size or count > MAX_PROGRAM_HEADERS:
            self._complete = False
            return
        table_data = head[table : table + count * entry_size]
        self._complete = len(table_data) == count * entry_size
        segments = []
        for at in range(0, len(table_data) - entry_size + 1, entry_size):
            values = layout.program_header.unpack_from(table_data, at)
            kind, offset, address, size, flags = (
                (values[0], values[2], values[3], values[5], values[1])
                if layout.bits == 64
                else (values[0], values[1], values[2], values[4], values[6])
            )
            segments.append(_Segment(kind, offset, address, size, flags))
        self._segments = segments
        if layout.bits == 64:
            code = [
                (segment.offset, segment.offset + segment.size)
                for segment in segments[:MAX_CODE_SEGMENTS]
                if segment.type == _PT_LOAD and segment.flags & _PF_X
            ]
            self._code = NativeCodeScan(code) if native_code.is_available() else CodeScan(code)
        for segment in segments:
            match segment.type:
                case 2 if self._dynamic is None:
                    self._dynamic = _Window(segment.offset, min(segment.size, MAX_DYNAMIC_SIZE))
                    self._start = _Window(0, MAX_STRINGS_SIZE)
                case 3 if self._interpreter is None:
                    self._interpreter = _Window(segment.offset, min(segment.size, MAX_STRING))

    def _read_dynamic(self, data: bytes) -> None:
        """Read the dynamic section, and look for its string table before or behind it in the file."""
        assert self._class is not None
        whole = len(data) - len(data) % self._class.dynamic.size
        self._entries = []
        for tag, value in self._class.dynamic.iter_unpack(data[:whole]):
            if tag == _DT_NULL or len(self._entries) >= MAX_DYNAMIC_ENTRIES:
                break
            self._entries.append((tag, value))
        first = dict(reversed(self._entries))
        address = first.get(_DT_STRTAB)
        if address is None:
            return
        self._strings_size = first.get(_DT_STRSZ, 0)
        self._strings = self._window_at(address, min(self._strings_size, MAX_STRINGS_SIZE))
        if self._class.bits != 64:
            return
        if (symbols := first.get(_DT_SYMTAB)) is not None:
            ends = [first[tag] - symbols for tag in _TABLE_TAGS if first.get(tag, 0) > symbols]
            self._symbols = self._window_at(symbols, min([*ends, MAX_SYMBOLS * SYMBOL_SIZE]))
        if (versions := first.get(_DT_VERNEED)) is not None:
            self._needed_versions = self._window_at(versions, MAX_VERSIONS_SIZE)
        if (versions := first.get(_DT_VERDEF)) is not None:
            self._defined_versions = self._window_at(versions, MAX_VERSIONS_SIZE)

    def _window_at(self, address: int, size: int) -> _Window | None:
        """Return a window on what is loaded at ``address``, fed with the part of the file that has passed."""
        for segment in self._segments:
            if segment.type == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                window = _Window(address - segment.address + segment.offset, size)
                if self._start is not None:
                    self._start.pass_on(window)
                return window
        return None
