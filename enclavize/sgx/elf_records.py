"""Records of ELF files as pyelftools describes them, taken from bytes that nobody trusts.

``ELFFile`` is for well-formed files: it reads section names and string tables before one can look at their
places. So the library gives the forms, and whoever reads a table checks first where it stands. Tables that
may have hundreds of thousands of records (symbols, relocations) are read in bulk where they are needed: the
library takes 20 us for a record, ``struct`` a hundredth of that.

Source: System V ABI, chapters 4 and 5, and its AMD64 supplement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elftools.construct import ConstructError
from elftools.elf.structs import ELFStructs

if TYPE_CHECKING:
    from collections.abc import Iterator

ELF64: Any = ELFStructs(little_endian=True, elfclass=64)
"""``Elf_Ehdr``, ``Elf_Phdr``, ``Elf_Shdr``, ``Elf_Dyn``: names of types and flags are those of the ABI."""
ELF64.create_basic_structs()
ELF64.create_advanced_structs("ET_DYN", "EM_X86_64")

IDENT = b"\x7fELF\x02\x01\x01"
"""The beginning of 64-bit little-endian files of ELF version 1."""

EI_NIDENT = 16
"""Bytes of ``e_ident``, whose padding the library does not keep."""

HEADER_SIZE: int = ELF64.Elf_Ehdr.sizeof()
PROGRAM_HEADER_SIZE: int = ELF64.Elf_Phdr.sizeof()
SECTION_HEADER_SIZE: int = ELF64.Elf_Shdr.sizeof()
DYNAMIC_SIZE: int = ELF64.Elf_Dyn.sizeof()


def read_header(data: bytes | memoryview) -> Any:
    """Return the ELF header, or None where ``data`` does not begin with one."""
    if bytes(data[: len(IDENT)]) != IDENT:
        return None
    try:
        return ELF64.Elf_Ehdr.parse(bytes(data[:HEADER_SIZE]))
    except ConstructError:
        return None


def read_records(form: Any, table: bytes | memoryview) -> Iterator[Any]:
    """Yield the records of a table; a rest that is too short for one does not count."""
    size = form.sizeof()
    for start in range(0, len(table) // size * size, size):
        yield form.parse(bytes(table[start : start + size]))
