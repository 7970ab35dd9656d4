"""Give a dynamic program another interpreter and an RPATH, so that it needs nothing of the image it is in.

Gramine's SGX loader is such a program, and starts itself again by ``/proc/self/exe`` for every child: an
``ld.so LOADER`` on the command line would not last. What has become longer goes into one new segment behind
all others: program headers, PT_INTERP, the string table with the RPATH, the dynamic section. The old bytes
stay where they are. RPATH and not RUNPATH, since that one does not count for the libraries' own libraries,
and comes behind LD_LIBRARY_PATH. Sources: System V gABI, chapters 4 and 5; fs/binfmt_elf.c of Linux.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from elftools.elf.constants import P_FLAGS

from enclavize.errors import InvalidImageError
from enclavize.sgx.elf_records import (
    DYNAMIC_SIZE,
    EI_NIDENT,
    ELF64,
    HEADER_SIZE,
    PROGRAM_HEADER_SIZE,
    read_header,
    read_records,
)

PAGE_SIZE = 0x1000
MAX_SIZE = 64 << 20
"""Bytes of a changed program, which is made in memory."""

_MAX_HEADERS = 64
_MAX_DYNAMIC_ENTRIES = 4096


_SYSTEM_FILES = {
    b"/etc/ld.so.preload\0": b"/.enclave/.preload\0",
    b"/etc/ld.so.cache\0": b"/.enclave/.cache\0",
}
"""What glibc's loader reads of a system (glibc, elf/rtld.c and sysdeps/generic/dl-cache.h), and paths as long
where nothing is."""


def interpreter_of(program: bytes) -> str:
    """Return the path in PT_INTERP. Raises InvalidImageError."""
    segment = _only(_segments(program), "PT_INTERP")
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
    old_dynamic = _only(segments, "PT_DYNAMIC")
    _only(segments, "PT_INTERP")
    loaded = [segment for segment in segments if segment.p_type == "PT_LOAD"]
    if not loaded or loaded[0].p_offset or loaded[0].p_vaddr:
        raise _wrong("its first segment does not start with the file, at address 0")
    # Linux before 5.18 takes e_phoff for the address of the program headers: offset and address are one.
    start = max(len(program), *(segment.p_vaddr + segment.p_memsz for segment in loaded))
    start += -start % PAGE_SIZE
    if start > MAX_SIZE:
        raise _wrong(f"its segments need more than {MAX_SIZE} bytes")

    dynamic = _dynamic(program, old_dynamic)
    strings = _strings(program, loaded, dynamic)
    run_path_offset = len(strings)
    strings += run_path.encode() + b"\0"
    path = interpreter.encode() + b"\0"

    headers_size = (len(segments) + 1) * PROGRAM_HEADER_SIZE
    strings_at = start + headers_size + len(path)
    dynamic_at = strings_at + len(strings)
    dynamic_at += -dynamic_at % DYNAMIC_SIZE
    changed: dict[str | int, int] = {"DT_STRTAB": strings_at, "DT_STRSZ": len(strings)}
    entries = [
        (tag, changed.get(tag, value)) for tag, value in dynamic if tag not in ("DT_RPATH", "DT_RUNPATH")
    ]
    entries = [*entries, ("DT_RPATH", run_path_offset), ("DT_NULL", 0)]
    table = b"".join(_dynamic_entry(tag, value) for tag, value in entries)

    end = dynamic_at + len(table)
    added = _placed(loaded[0], start, end - start)
    added.p_flags, added.p_align = P_FLAGS.PF_R | P_FLAGS.PF_W, PAGE_SIZE
    places = {
        "PT_PHDR": (start, headers_size),
        "PT_INTERP": (start + headers_size, len(path)),
        "PT_DYNAMIC": (dynamic_at, len(table)),
    }
    moved = [
        _placed(segment, *places[segment.p_type]) if segment.p_type in places else segment
        for segment in segments
    ]
    # Linux wants PT_LOAD in ascending order of addresses.
    last = max(index for index, segment in enumerate(moved) if segment.p_type == "PT_LOAD")
    moved.insert(last + 1, added)

    result = bytearray(program.ljust(start, b"\0"))
    result += b"".join(ELF64.Elf_Phdr.build(segment) for segment in moved)
    result += path + strings
    result = result.ljust(dynamic_at, b"\0") + table
    header = read_header(program)
    header.e_phoff, header.e_phnum = start, len(moved)
    result[EI_NIDENT:HEADER_SIZE] = ELF64.Elf_Ehdr.build(header)[EI_NIDENT:]
    return bytes(result)


def _placed(segment: Any, at: int, size: int) -> Any:
    """Return a copy of a program header for ``size`` bytes whose offset and address are ``at``."""
    placed = copy(segment)
    placed.p_offset = placed.p_vaddr = placed.p_paddr = at
    placed.p_filesz = placed.p_memsz = size
    return placed


def _dynamic_entry(tag: str | int, value: int) -> bytes:
    entry = ELF64.Elf_Dyn.parse(bytes(DYNAMIC_SIZE))
    entry.d_tag, entry.d_val = tag, value
    return bytes(ELF64.Elf_Dyn.build(entry))


def _segments(program: bytes) -> list[Any]:
    header = read_header(program)
    if header is None:
        raise _wrong("it is not a 64-bit ELF file")
    if (header.e_type, header.e_machine) != ("ET_DYN", "EM_X86_64"):
        raise _wrong("it is not a position independent program for x86-64")
    end = header.e_phoff + PROGRAM_HEADER_SIZE * header.e_phnum
    if (
        header.e_phentsize != PROGRAM_HEADER_SIZE
        or not 0 < header.e_phnum <= _MAX_HEADERS
        or end > len(program)
    ):
        raise _wrong("its program headers are damaged")
    return list(read_records(ELF64.Elf_Phdr, program[header.e_phoff : end]))


def _only(segments: list[Any], kind: str) -> Any:
    found = [segment for segment in segments if segment.p_type == kind]
    if len(found) != 1:
        raise _wrong(f"it has {len(found)} program headers of the type {kind}, not one")
    return found[0]


def _content(program: bytes, segment: Any) -> bytes:
    if segment.p_offset + segment.p_filesz > len(program):
        raise _wrong("a segment runs over the end of the file")
    return program[segment.p_offset : segment.p_offset + segment.p_filesz]


def _dynamic(program: bytes, segment: Any) -> list[tuple[str | int, int]]:
    """Return the entries of the dynamic section before DT_NULL."""
    entries: list[tuple[str | int, int]] = []
    content = _content(program, segment)[: _MAX_DYNAMIC_ENTRIES * DYNAMIC_SIZE]
    for entry in read_records(ELF64.Elf_Dyn, content):
        if entry.d_tag == "DT_NULL":
            return entries
        entries.append((entry.d_tag, entry.d_val))
    raise _wrong("its dynamic section has no end")


def _strings(program: bytes, loaded: list[Any], dynamic: list[tuple[str | int, int]]) -> bytes:
    values = dict(dynamic)
    if "DT_STRTAB" not in values or "DT_STRSZ" not in values:
        raise _wrong("its dynamic section names no string table")
    address, size = values["DT_STRTAB"], values["DT_STRSZ"]
    for segment in loaded:
        within = address - segment.p_vaddr
        if within >= 0 and within + size <= segment.p_filesz:
            return _content(program, segment)[within : within + size]
    raise _wrong("its string table is not in the file")


def _wrong(problem: str) -> InvalidImageError:
    return InvalidImageError(f"Gramine's SGX loader cannot be given another interpreter: {problem}")
