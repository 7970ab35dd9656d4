"""Symbols and relocations of an enclave file.

An enclave is linked once and for all: the runtime inside it knows eight relocation types and no other
libraries.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from typing import TYPE_CHECKING

from enclavize.sgx.enclave_file.elf import SYMBOL, string_at
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.structures import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.sgx.enclave_file.elf import EnclaveElf, Section

_RELA = struct.Struct("<QQq")

_SHN_UNDEF = 0
_STB_WEAK = 2
_SHF_EXECINSTR = 4

_R_X86_64_NONE = 0
_SUPPORTED_RELOCATIONS = {
    _R_X86_64_NONE: "NONE",
    1: "64",
    6: "GLOB_DAT",
    7: "JUMP_SLOT",
    8: "RELATIVE",
    16: "DTPMOD64",
    17: "DTPOFF64",
    18: "TPOFF64",
}

_MAX_SYMBOL = 16384  # mangled C++ names are long

ENTRY_SYMBOL = b"enclave_entry"
GLOBAL_DATA_SYMBOL = b"g_global_data"


def exports(elf: EnclaveElf, wanted: bytes) -> bool:
    """Whether the file defines a dynamic symbol. Raises ``InvalidEnclaveError`` as ``exported_symbols``."""
    return any(name == wanted and section != _SHN_UNDEF for name, _, section, _ in _symbols(elf))


def exported_symbols(elf: EnclaveElf) -> dict[bytes, int]:
    """Address of ``enclave_entry`` (e_entry where it has no symbol) and ``g_global_data``.

    Raises ``InvalidEnclaveError`` for a symbol that is neither defined nor weak: nobody would resolve it.
    """
    found = {ENTRY_SYMBOL: elf.entry}
    for text, info, section, value in _symbols(elf):
        if section == _SHN_UNDEF and info >> 4 != _STB_WEAK:
            raise InvalidEnclaveError(
                f"the symbol {text.decode('latin-1')} is undefined",
                hint="An enclave is linked with all its libraries: link with -Wl,--no-undefined.",
            )
        if text in {ENTRY_SYMBOL, GLOBAL_DATA_SYMBOL}:
            found[text] = value
    return found


def _symbols(elf: EnclaveElf) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield name, info, section and value of the dynamic symbols that have a name."""
    table, names = (elf.section_at(elf.dynamic.get(tag, 0)) for tag in ("DT_SYMTAB", "DT_STRTAB"))
    if table is None or names is None or "DT_SYMTAB" not in elf.dynamic or "DT_STRTAB" not in elf.dynamic:
        raise InvalidEnclaveError("there is no dynamic symbol table")
    if table.entry_size != SYMBOL.size:
        raise InvalidEnclaveError(f"dynamic symbols of {table.entry_size} bytes, not {SYMBOL.size}")
    content, strings = elf.content(table), bytes(elf.content(names))
    symbols = SYMBOL.iter_unpack(content[: len(content) // SYMBOL.size * SYMBOL.size])
    for index, (name, info, _, section, value, _) in enumerate(symbols):
        if index == 0 or name == 0:
            continue
        yield string_at(strings, name, _MAX_SYMBOL), info, section, value


def check_relocations(elf: EnclaveElf) -> None:
    """Raises ``InvalidEnclaveError`` for a relocation that the runtime in the enclave does not know."""
    if elf.dynamic.get("DT_REL"):
        raise InvalidEnclaveError("relocations of type REL; on x86-64 they are RELA")
    for _, info in _dynamic_relocations(elf):
        if (kind := info & 0xFFFFFFFF) not in _SUPPORTED_RELOCATIONS:
            raise InvalidEnclaveError(f"the relocation type {kind} is not supported in an enclave")


def text_relocations(elf: EnclaveElf) -> list[int]:
    """Addresses in executable sections that a relocation changes."""
    executable = sorted(
        (section.address, section.address + section.size)
        for section in elf.sections
        if section.flags & _SHF_EXECINSTR
    )
    tables = [section for section in elf.sections if section.type in {"SHT_RELA", "SHT_REL"}]
    if sum(table.size for table in tables) > len(elf.image):
        raise InvalidEnclaveError("the relocation tables are larger than the file")
    return [
        address
        for table in tables
        for address, _ in _entries(elf, table, table.size)
        if (index := bisect_right(executable, (address, math.inf))) and address < executable[index - 1][1]
    ]


def relocated_pages(elf: EnclaveElf) -> frozenset[int]:
    """Pages (address / 4096) that must be writable for relocation. Only files with DT_TEXTREL have any."""
    if "DT_TEXTREL" not in elf.dynamic:
        return frozenset()
    pages = set()
    for address, info in _dynamic_relocations(elf):
        if info & 0xFFFFFFFF != _R_X86_64_NONE:
            pages |= {address // PAGE_SIZE, (address + 7) // PAGE_SIZE}
    return frozenset(pages)


def _dynamic_relocations(elf: EnclaveElf) -> Iterator[tuple[int, int]]:
    for table, size in (("DT_RELA", "DT_RELASZ"), ("DT_JMPREL", "DT_PLTRELSZ")):
        length = elf.dynamic.get(size, 0)
        if not length:
            continue
        section = elf.section_at(elf.dynamic.get(table, 0))
        if section is None or table not in elf.dynamic:
            raise InvalidEnclaveError("the relocation table is not described by a section")
        yield from _entries(elf, section, length)


def _entries(elf: EnclaveElf, section: Section, size: int) -> Iterator[tuple[int, int]]:
    # A linker may put .rela.plt right after .rela.dyn and let DT_RELASZ cover both.
    content = memoryview(elf.image)[section.offset : section.offset + size]
    if len(content) != size:
        raise InvalidEnclaveError("a relocation table lies outside the file")
    for address, info, _ in _RELA.iter_unpack(content[: size // _RELA.size * _RELA.size]):
        yield address, info
