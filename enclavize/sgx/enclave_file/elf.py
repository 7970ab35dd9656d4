"""The ELF file of an enclave: what signer and loader must know of it.

pyelftools says what the records are. The file is not trusted: every offset and size is checked against the
file before it is used.

Source: System V ABI and its AMD64 supplement.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from elftools.elf.constants import P_FLAGS

from enclavize.sgx.elf_records import (
    DYNAMIC_SIZE,
    ELF64,
    HEADER_SIZE,
    PROGRAM_HEADER_SIZE,
    SECTION_HEADER_SIZE,
    read_header,
    read_records,
)
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.structures import PAGE_SIZE, SecinfoFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

E_SHOFF = slice(40, 48)
E_SHNUM = slice(60, 62)
E_SHSTRNDX = slice(62, 64)

_NOTE = struct.Struct("<III")

MAX_SECTIONS = 4096
MAX_DYNAMIC_ENTRIES = 4096
"""More than any linker makes; a record costs 20 us."""

SYMBOL = struct.Struct("<IBBHQQ")
"""``Elf64_Sym``: st_name, st_info, st_other, st_shndx, st_value, st_size."""
_SYMBOL_TABLES = ((b".symtab", b".strtab"), (b".dynsym", b".dynstr"))

_METADATA_SECTION = b".note.sgxmeta"
_METADATA_NOTE_NAME = b"sgx_metadata\0"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A PT_LOAD program header."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    secinfo_flags: int

    @property
    def first_page(self) -> int:
        """Address of the first page it touches."""
        return self.address & -PAGE_SIZE

    @property
    def end_page(self) -> int:
        """Address after the last page it touches."""
        return -(-(self.address + self.memory_size) // PAGE_SIZE) * PAGE_SIZE


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A section header, with its name. ``header_offset`` is where it stands in the file.

    ``type`` is the ABI's name, a number where that has none.
    """

    name: bytes
    type: str | int
    flags: int
    address: int
    offset: int
    size: int
    alignment: int
    entry_size: int
    header_offset: int


@dataclass(frozen=True, kw_only=True)
class EnclaveElf:
    """A parsed enclave file.

    ``metadata_offset`` and ``metadata_size`` describe the note's description in the file. ``dynamic`` has the
    last value of each tag of the dynamic segment, by the ABI's name, such as ``DT_SYMTAB``. ``tls_size`` is
    the size of the TLS template, rounded up to its alignment.
    """

    image: bytes
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    dynamic: dict[str | int, int]
    tls_size: int
    metadata_offset: int
    metadata_size: int

    @property
    def image_end(self) -> int:
        """Address of the first page after the highest segment."""
        return max(self.segments, key=lambda segment: segment.address).end_page

    def section_at(self, address: int) -> Section | None:
        return next((section for section in self.sections if section.address == address), None)

    def section_named(self, name: bytes) -> Section | None:
        return next((section for section in self.sections if section.name == name), None)

    def content(self, section: Section) -> memoryview:
        """The section's bytes in the file. Raises ``InvalidEnclaveError``."""
        if section.type == "SHT_NOBITS":
            return memoryview(b"")
        return _window(self.image, section.offset, section.size, f"section {section.name.decode('latin-1')}")

    def symbol(self, name: bytes) -> tuple[int, int] | None:
        """Address and size of a symbol, also of one that is not exported. Raises ``InvalidEnclaveError``."""
        for table_name, strings_name in _SYMBOL_TABLES:
            table, strings = self.section_named(table_name), self.section_named(strings_name)
            if table is None or strings is None:
                continue
            content, texts = self.content(table), bytes(self.content(strings))
            for text, _, _, _, address, size in SYMBOL.iter_unpack(
                content[: len(content) // SYMBOL.size * SYMBOL.size]
            ):
                if texts.startswith(name + b"\0", text):
                    return address, size
        return None

    def file_offset(self, address: int, size: int) -> int:
        """Where the ``size`` bytes at ``address`` stand in the file. Raises ``InvalidEnclaveError``."""
        for segment in self.segments:
            within = address - segment.address
            if within >= 0 and within + size <= segment.file_size:
                return segment.offset + within
        raise InvalidEnclaveError(f"the address {address:#x} is not backed by the enclave file")


def parse_segments(image: bytes) -> tuple[int, tuple[Segment, ...]]:
    """Entry point and PT_LOAD segments of any x86-64 shared object. Raises ``InvalidEnclaveError``."""
    header = _read_header(image)
    segments, _, _ = _read_program_headers(image, header)
    return header.e_entry, segments


def parse_elf(image: bytes) -> EnclaveElf:
    """Parses an enclave file. Raises ``InvalidEnclaveError`` with what is wrong with it."""
    header = _read_header(image)
    segments, dynamic, tls_size = _read_program_headers(image, header)
    if not dynamic:
        raise InvalidEnclaveError("there is no dynamic segment")
    if not header.e_shoff or not header.e_shnum:
        raise InvalidEnclaveError("the section headers are missing; strip -s keeps them")
    if header.e_shentsize != SECTION_HEADER_SIZE:
        raise InvalidEnclaveError(f"section headers of {header.e_shentsize} bytes, not {SECTION_HEADER_SIZE}")
    sections = tuple(_read_sections(image, header))
    metadata_offset, metadata_size = _find_metadata(image, sections)
    for segment in segments:
        end = segment.offset + segment.file_size
        if segment.offset < metadata_offset + metadata_size and metadata_offset < end:
            raise InvalidEnclaveError(
                ".note.sgxmeta is part of a loaded segment: the enclave would measure itself"
            )
    return EnclaveElf(
        image=image,
        entry=header.e_entry,
        segments=segments,
        sections=sections,
        dynamic=dynamic,
        tls_size=tls_size,
        metadata_offset=metadata_offset,
        metadata_size=metadata_size,
    )


def _read_header(image: bytes) -> Any:
    if not image.startswith(b"\x7fELF"):
        raise InvalidEnclaveError("not an ELF file")
    _window(image, 0, HEADER_SIZE, "ELF header")
    header = read_header(image)
    if header is None:
        raise InvalidEnclaveError("not a 64-bit little-endian ELF file")
    if header.e_type != "ET_DYN":
        raise InvalidEnclaveError("an enclave is a shared object (ET_DYN); this ELF file is not")
    if header.e_machine != "EM_X86_64":
        raise InvalidEnclaveError("an enclave is built for x86-64; this ELF file is not")
    if header.e_phentsize != PROGRAM_HEADER_SIZE:
        raise InvalidEnclaveError(f"program headers of {header.e_phentsize} bytes, not {PROGRAM_HEADER_SIZE}")
    return header


def _read_program_headers(image: bytes, header: Any) -> tuple[tuple[Segment, ...], dict[str | int, int], int]:
    table = _window(image, header.e_phoff, header.e_phnum * PROGRAM_HEADER_SIZE, "program headers")
    segments: list[Segment] = []
    spans: list[tuple[int, int]] = []
    dynamic: dict[str | int, int] = {}
    tls_size = 0
    for program in read_records(ELF64.Elf_Phdr, table):
        kind, flags, address, alignment = program.p_type, program.p_flags, program.p_vaddr, program.p_align
        content = _window(image, program.p_offset, program.p_filesz, "segment")
        if address + max(program.p_memsz, alignment) >= 2**63:
            raise InvalidEnclaveError(f"a segment at {address:#x} reaches beyond the address space")
        if kind in {"PT_LOAD", "PT_TLS"} and not flags & (P_FLAGS.PF_R | P_FLAGS.PF_W | P_FLAGS.PF_X):
            raise InvalidEnclaveError(
                f"the segment at {address:#x} can be neither read, written nor executed"
            )
        if kind == "PT_LOAD":
            if alignment < PAGE_SIZE or alignment & (alignment - 1):
                raise InvalidEnclaveError(f"the segment at {address:#x} is not page-aligned ({alignment:#x})")
            if program.p_filesz > program.p_memsz:
                raise InvalidEnclaveError(f"the segment at {address:#x} is larger in the file than in memory")
            spans.append((address, -(-(address + program.p_memsz) // alignment) * alignment))
            segments.append(
                Segment(
                    offset=program.p_offset,
                    address=address,
                    file_size=program.p_filesz,
                    memory_size=program.p_memsz,
                    secinfo_flags=_secinfo_flags(flags),
                )
            )
        elif kind == "PT_DYNAMIC" and not dynamic:
            dynamic = dict(_read_dynamic(content))
        elif kind == "PT_TLS":
            step = max(alignment, 1)
            tls_size = -(-program.p_memsz // step) * step
    if not segments:
        raise InvalidEnclaveError("there is no PT_LOAD segment")
    spans.sort()
    for (start, end), (next_start, _) in pairwise(spans):
        if next_start < end:
            raise InvalidEnclaveError(f"the segments at {start:#x} and {next_start:#x} overlap")
    return tuple(segments), dynamic, tls_size


def _read_dynamic(content: memoryview) -> Iterator[tuple[str | int, int]]:
    for entry in read_records(ELF64.Elf_Dyn, content[: MAX_DYNAMIC_ENTRIES * DYNAMIC_SIZE]):
        if entry.d_tag == "DT_NULL":
            return
        yield entry.d_tag, entry.d_val


def _secinfo_flags(segment_flags: int) -> int:
    flags = SecinfoFlags.REG
    for bit, permission in (
        (P_FLAGS.PF_R, SecinfoFlags.R),
        (P_FLAGS.PF_W, SecinfoFlags.W),
        (P_FLAGS.PF_X, SecinfoFlags.X),
    ):
        if segment_flags & bit:
            flags |= permission
    return int(flags)


def _read_sections(image: bytes, header: Any) -> Iterator[Section]:
    if header.e_shnum > MAX_SECTIONS:
        raise InvalidEnclaveError(f"{header.e_shnum} sections; an enclave has at most {MAX_SECTIONS}")
    table = _window(image, header.e_shoff, header.e_shnum * SECTION_HEADER_SIZE, "section headers")
    records = list(read_records(ELF64.Elf_Shdr, table))
    if header.e_shstrndx >= len(records):
        raise InvalidEnclaveError("the section names are missing")
    place = records[header.e_shstrndx]
    names = bytes(_window(image, place.sh_offset, place.sh_size, "section names"))
    for index, section in enumerate(records):
        yield Section(
            name=string_at(names, section.sh_name),
            type=section.sh_type,
            flags=section.sh_flags,
            address=section.sh_addr,
            offset=section.sh_offset,
            size=section.sh_size,
            alignment=section.sh_addralign,
            entry_size=section.sh_entsize,
            header_offset=header.e_shoff + index * SECTION_HEADER_SIZE,
        )


def _find_metadata(image: bytes, sections: tuple[Section, ...]) -> tuple[int, int]:
    section = next((section for section in sections if section.name == _METADATA_SECTION), None)
    if section is None:
        raise InvalidEnclaveError("there is no section .note.sgxmeta")
    note = _window(image, section.offset, section.size, ".note.sgxmeta")
    if len(note) < _NOTE.size + len(_METADATA_NOTE_NAME):
        raise InvalidEnclaveError("the section .note.sgxmeta is too small")
    name_size, description_size, _ = _NOTE.unpack_from(note)
    start = _NOTE.size + len(_METADATA_NOTE_NAME)  # the name is not padded, unlike in an ordinary note
    if name_size != len(_METADATA_NOTE_NAME) or note[_NOTE.size : start] != _METADATA_NOTE_NAME:
        raise InvalidEnclaveError('the note in .note.sgxmeta is not named "sgx_metadata"')
    alignment = max(section.alignment, 1)
    if section.size != -(-(start + description_size) // alignment) * alignment:
        raise InvalidEnclaveError("the size of the section .note.sgxmeta does not fit its note")
    return section.offset + start, description_size


def string_at(table: bytes, offset: int, limit: int = 255) -> bytes:
    """The zero-terminated string at ``offset`` of a string table. Raises ``InvalidEnclaveError``."""
    end = table.find(b"\0", offset, offset + limit + 1)
    if end < 0:
        raise InvalidEnclaveError(f"a name lies outside its string table, or has more than {limit} bytes")
    return table[offset:end]


def _window(image: bytes, offset: int, size: int, what: str) -> memoryview:
    if offset + size > len(image):
        raise InvalidEnclaveError(f"the file is truncated: {what} at {offset:#x} with {size:#x} bytes")
    return memoryview(image)[offset : offset + size]
