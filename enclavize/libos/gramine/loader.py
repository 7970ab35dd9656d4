"""Give a dynamic program another interpreter and an RPATH, so that it needs nothing of the image it is in.

Gramine's SGX loader is such a program, and starts itself again by ``/proc/self/exe`` for every child: an
``ld.so LOADER`` on the command line would not last. What has become longer goes into one new segment behind
all others: program headers, PT_INTERP, the string table with the RPATH, the dynamic section. The old bytes
stay where they are. RPATH and not RUNPATH, since that one does not count for the libraries' own libraries,
and comes behind LD_LIBRARY_PATH. Sources: System V gABI, chapters 4 and 5; fs/binfmt_elf.c of Linux.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from enclavize.errors import InvalidImageError

PAGE_SIZE = 0x1000
MAX_SIZE = 64 << 20
"""Bytes of a changed program, which is made in memory."""

_HEADER_SIZE = 64
_IDENT = b"\x7fELF\x02\x01"
_E_PHOFF, _E_PHENTSIZE, _E_PHNUM = 32, 54, 56
_ET_DYN, _EM_X86_64 = 3, 62
_PHDR = struct.Struct("<IIQQQQQQ")
_DYN = struct.Struct("<QQ")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_PHDR = 1, 2, 3, 6
_PF_W, _PF_R = 2, 4
_DT_NULL, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 0, 5, 10, 15, 29
_MAX_HEADERS = 64
_MAX_DYNAMIC_ENTRIES = 4096


_SYSTEM_FILES = {
    b"/etc/ld.so.preload\0": b"/.enclave/.preload\0",
    b"/etc/ld.so.cache\0": b"/.enclave/.cache\0",
}
"""What glibc's loader reads of a system (glibc, elf/rtld.c and sysdeps/generic/dl-cache.h), and paths as long
where nothing is."""


class _Segment(NamedTuple):
    """A program header, field by field."""

    type: int
    flags: int
    offset: int
    address: int
    physical_address: int
    file_size: int
    memory_size: int
    alignment: int


def interpreter_of(program: bytes) -> str:
    """Return the path in PT_INTERP. Raises InvalidImageError."""
    segment = _only(_segments(program), _PT_INTERP)
    return _content(program, segment).rstrip(b"\0").decode("ascii", "replace")


def without_system_files(interpreter: bytes) -> bytes:
    """Return a copy of glibc's loader that takes nothing from the image; others are returned as they are.

    What the first of these files names would be loaded into the process outside of the enclave.
    """
    for path, nowhere in _SYSTEM_FILES.items():
        interpreter = interpreter.replace(path, nowhere)
    return interpreter


def with_interpreter(program: bytes, interpreter: str, run_path: str) -> bytes:
    """Return a copy that is started by ``interpreter`` and finds its libraries in ``run_path``.

    Raises InvalidImageError for what is not a position independent x86-64 program with a dynamic section.
    """
    segments = _segments(program)
    old_dynamic = _only(segments, _PT_DYNAMIC)
    _only(segments, _PT_INTERP)
    loaded = [segment for segment in segments if segment.type == _PT_LOAD]
    if not loaded or loaded[0].offset or loaded[0].address:
        raise _wrong("its first segment does not start with the file, at address 0")
    # Linux before 5.18 takes e_phoff for the address of the program headers: offset and address are one.
    start = max(len(program), *(segment.address + segment.memory_size for segment in loaded))
    start += -start % PAGE_SIZE
    if start > MAX_SIZE:
        raise _wrong(f"its segments need more than {MAX_SIZE} bytes")

    dynamic = _dynamic(program, old_dynamic)
    strings = _strings(program, loaded, dynamic)
    run_path_offset = len(strings)
    strings += run_path.encode() + b"\0"
    path = interpreter.encode() + b"\0"

    headers_size = (len(segments) + 1) * _PHDR.size
    strings_at = start + headers_size + len(path)
    dynamic_at = strings_at + len(strings)
    dynamic_at += -dynamic_at % _DYN.size
    changed = {_DT_STRTAB: strings_at, _DT_STRSZ: len(strings)}
    entries = [
        (tag, changed.get(tag, value)) for tag, value in dynamic if tag not in (_DT_RPATH, _DT_RUNPATH)
    ]
    entries = [*entries, (_DT_RPATH, run_path_offset), (_DT_NULL, 0)]
    table = b"".join(_DYN.pack(*entry) for entry in entries)

    end = dynamic_at + len(table)
    added = _Segment(_PT_LOAD, _PF_R | _PF_W, start, start, start, end - start, end - start, PAGE_SIZE)
    placed = {
        _PT_PHDR: (start, headers_size),
        _PT_INTERP: (start + headers_size, len(path)),
        _PT_DYNAMIC: (dynamic_at, len(table)),
    }
    moved = [
        _moved(segment, *placed[segment.type]) if segment.type in placed else segment for segment in segments
    ]
    # Linux wants PT_LOAD in ascending order of addresses.
    last = max(index for index, segment in enumerate(moved) if segment.type == _PT_LOAD)
    moved.insert(last + 1, added)

    result = bytearray(program.ljust(start, b"\0"))
    result += b"".join(_PHDR.pack(*segment) for segment in moved)
    result += path + strings
    result = result.ljust(dynamic_at, b"\0") + table
    struct.pack_into("<Q", result, _E_PHOFF, start)
    struct.pack_into("<H", result, _E_PHNUM, len(moved))
    return bytes(result)


def _moved(segment: _Segment, at: int, size: int) -> _Segment:
    return segment._replace(offset=at, address=at, physical_address=at, file_size=size, memory_size=size)


def _segments(program: bytes) -> list[_Segment]:
    if len(program) < _HEADER_SIZE or not program.startswith(_IDENT):
        raise _wrong("it is not a 64-bit ELF file")
    kind, machine = struct.unpack_from("<HH", program, 16)
    if (kind, machine) != (_ET_DYN, _EM_X86_64):
        raise _wrong("it is not a position independent program for x86-64")
    (offset,) = struct.unpack_from("<Q", program, _E_PHOFF)
    size, count = struct.unpack_from("<HH", program, _E_PHENTSIZE)
    if size != _PHDR.size or not 0 < count <= _MAX_HEADERS or offset + size * count > len(program):
        raise _wrong("its program headers are damaged")
    return [_Segment(*_PHDR.unpack_from(program, offset + index * size)) for index in range(count)]


def _only(segments: list[_Segment], kind: int) -> _Segment:
    found = [segment for segment in segments if segment.type == kind]
    if len(found) != 1:
        raise _wrong(f"it has {len(found)} program headers of the type {kind}, not one")
    return found[0]


def _content(program: bytes, segment: _Segment) -> bytes:
    if segment.offset + segment.file_size > len(program):
        raise _wrong("a segment runs over the end of the file")
    return program[segment.offset : segment.offset + segment.file_size]


def _dynamic(program: bytes, segment: _Segment) -> list[tuple[int, int]]:
    """Return the entries of the dynamic section before DT_NULL."""
    content = _content(program, segment)[: _MAX_DYNAMIC_ENTRIES * _DYN.size]
    entries: list[tuple[int, int]] = []
    for tag, value in _DYN.iter_unpack(content[: len(content) // _DYN.size * _DYN.size]):
        if tag == _DT_NULL:
            return entries
        entries.append((tag, value))
    raise _wrong("its dynamic section has no end")


def _strings(program: bytes, loaded: list[_Segment], dynamic: list[tuple[int, int]]) -> bytes:
    values = dict(dynamic)
    if _DT_STRTAB not in values or _DT_STRSZ not in values:
        raise _wrong("its dynamic section names no string table")
    address, size = values[_DT_STRTAB], values[_DT_STRSZ]
    for segment in loaded:
        within = address - segment.address
        if within >= 0 and within + size <= segment.file_size:
            return _content(program, segment)[within : within + size]
    raise _wrong("its string table is not in the file")


def _wrong(problem: str) -> InvalidImageError:
    return InvalidImageError(f"Gramine's SGX loader cannot be given another interpreter: {problem}")
