"""The ELF file of an enclave: what signer and loader must know of it.

Source: System V ABI and its AMD64 supplement. The file is not trusted: every offset and size is checked
against the file before it is used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.structures import PAGE_SIZE, SecinfoFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

EHDR_SIZE = 64
_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_DYN = struct.Struct("<qQ")
_NOTE = struct.Struct("<III")

E_SHOFF = slice(40, 48)
E_SHNUM = slice(60, 62)
E_SHSTRNDX = slice(62, 64)

_ET_DYN = 3
_EM_X86_64 = 62
_PT_LOAD = 1
_PT_DYNAMIC = 2
_PT_TLS = 7
_PF_X = 1
_PF_W = 2
_PF_R = 4
_SHT_NOBITS = 8

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
    """A section header, with its name."""

    name: bytes
    type: int
    flags: int
    address: int
    offset: int
    size: int
    alignment: int
    entry_size: int


@dataclass(frozen=True, kw_only=True)
class EnclaveElf:
    """A parsed enclave file.

    ``metadata_offset`` and ``metadata_size`` describe the note's description in the file. ``dynamic`` has the
    last value of each tag of the dynamic segment. ``tls_size`` is the size of the TLS template, rounded up to
    its alignment.
    """

    image: bytes
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    dynamic: dict[int, int]
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
        if section.type == _SHT_NOBITS:
            return memoryview(b"")
        return _window(self.image, section.offset, section.size, f"section {section.name.decode('latin-1')}")

    def file_offset(self, address: int, size: int) -> int:
        """Where the ``size`` bytes at ``address`` stand in the file. Raises ``InvalidEnclaveError``."""
        for segment in self.segments:
            within = address - segment.address
            if within >= 0 and within + size <= segment.file_size:
                return segment.offset + within
        raise InvalidEnclaveError(f"The address {address:#x} is not backed by the enclave file")


def parse_segments(image: bytes) -> tuple[int, tuple[Segment, ...]]:
    """Entry point and PT_LOAD segments of any x86-64 shared object. Raises ``InvalidEnclaveError``."""
    header = _read_header(image)
    segments, _, _ = _read_program_headers(image, header.program_headers)
    return header.entry, segments


def parse_elf(image: bytes) -> EnclaveElf:
    """Parses an enclave file. Raises ``InvalidEnclaveError`` with what is wrong with it."""
    header = _read_header(image)
    segments, dynamic, tls_size = _read_program_headers(image, header.program_headers)
    if not dynamic:
        raise InvalidEnclaveError("There is no dynamic segment")
    if not header.section_headers or not header.section_count:
        raise InvalidEnclaveError("The section headers are missing; strip -s keeps them")
    if header.section_size != _SHDR.size:
        raise InvalidEnclaveError(f"Section headers of {header.section_size} bytes, not {_SHDR.size}")
    table = _window(image, header.section_headers, header.section_count * _SHDR.size, "section headers")
    sections = tuple(_read_sections(image, table, header.names_index))
    metadata_offset, metadata_size = _find_metadata(image, sections)
    for segment in segments:
        end = segment.offset + segment.file_size
        if segment.offset < metadata_offset + metadata_size and metadata_offset < end:
            raise InvalidEnclaveError(
                ".note.sgxmeta is part of a loaded segment: the enclave would measure itself"
            )
    return EnclaveElf(
        image=image,
        entry=header.entry,
        segments=segments,
        sections=sections,
        dynamic=dynamic,
        tls_size=tls_size,
        metadata_offset=metadata_offset,
        metadata_size=metadata_size,
    )


@dataclass(frozen=True, kw_only=True)
class _Header:
    entry: int
    program_headers: memoryview
    section_headers: int
    section_size: int
    section_count: int
    names_index: int


def _read_header(image: bytes) -> _Header:
    header = _window(image, 0, EHDR_SIZE, "ELF header")
    if bytes(header[:4]) != b"\x7fELF":
        raise InvalidEnclaveError("Not an ELF file")
    if bytes(header[4:7]) != b"\x02\x01\x01":
        raise InvalidEnclaveError("Not a 64-bit little-endian ELF file")
    (kind, machine, _, entry, program_headers, section_headers, _, _, header_size, header_count,
     section_size, section_count, names_index) = struct.unpack_from("<HHIQQQIHHHHHH", header, 16)  # fmt: skip
    if kind != _ET_DYN:
        raise InvalidEnclaveError("An enclave is a shared object (ET_DYN); this ELF file is not")
    if machine != _EM_X86_64:
        raise InvalidEnclaveError("An enclave is built for x86-64; this ELF file is not")
    if header_size != _PHDR.size:
        raise InvalidEnclaveError(f"Program headers of {header_size} bytes, not {_PHDR.size}")
    return _Header(
        entry=entry,
        program_headers=_window(image, program_headers, header_count * _PHDR.size, "program headers"),
        section_headers=section_headers,
        section_size=section_size,
        section_count=section_count,
        names_index=names_index,
    )


def _read_program_headers(image: bytes, table: memoryview) -> tuple[tuple[Segment, ...], dict[int, int], int]:
    segments: list[Segment] = []
    spans: list[tuple[int, int]] = []
    dynamic: dict[int, int] = {}
    tls_size = 0
    for kind, flags, offset, address, _, file_size, memory_size, alignment in _PHDR.iter_unpack(table):
        content = _window(image, offset, file_size, "segment")
        if address + max(memory_size, alignment) >= 2**63:
            raise InvalidEnclaveError(f"A segment at {address:#x} reaches beyond the address space")
        if kind in {_PT_LOAD, _PT_TLS} and not flags & (_PF_R | _PF_W | _PF_X):
            raise InvalidEnclaveError(
                f"The segment at {address:#x} can be neither read, written nor executed"
            )
        if kind == _PT_LOAD:
            if alignment < PAGE_SIZE or alignment & (alignment - 1):
                raise InvalidEnclaveError(f"The segment at {address:#x} is not page-aligned ({alignment:#x})")
            if file_size > memory_size:
                raise InvalidEnclaveError(f"The segment at {address:#x} is larger in the file than in memory")
            spans.append((address, -(-(address + memory_size) // alignment) * alignment))
            segments.append(
                Segment(
                    offset=offset,
                    address=address,
                    file_size=file_size,
                    memory_size=memory_size,
                    secinfo_flags=_secinfo_flags(flags),
                )
            )
        elif kind == _PT_DYNAMIC and not dynamic:
            dynamic = dict(_read_dynamic(content))
        elif kind == _PT_TLS:
            step = max(alignment, 1)
            tls_size = -(-memory_size // step) * step
    if not segments:
        raise InvalidEnclaveError("There is no PT_LOAD segment")
    spans.sort()
    for (start, end), (next_start, _) in pairwise(spans):
        if next_start < end:
            raise InvalidEnclaveError(f"The segments at {start:#x} and {next_start:#x} overlap")
    return tuple(segments), dynamic, tls_size


def _read_dynamic(content: memoryview) -> Iterator[tuple[int, int]]:
    for tag, value in _DYN.iter_unpack(content[: len(content) // _DYN.size * _DYN.size]):
        if tag == 0:
            return
        yield tag, value


def _secinfo_flags(segment_flags: int) -> int:
    flags = SecinfoFlags.REG
    for bit, permission in (
        (_PF_R, SecinfoFlags.R),
        (_PF_W, SecinfoFlags.W),
        (_PF_X, SecinfoFlags.X),
    ):
        if segment_flags & bit:
            flags |= permission
    return int(flags)


def _read_sections(image: bytes, table: memoryview, names_index: int) -> Iterator[Section]:
    headers = list(_SHDR.iter_unpack(table))
    if names_index >= len(headers):
        raise InvalidEnclaveError("The section names are missing")
    _, _, _, _, names_offset, names_size, *_ = headers[names_index]
    names = bytes(_window(image, names_offset, names_size, "section names"))
    for name, kind, flags, address, offset, size, _, _, alignment, entry_size in headers:
        yield Section(
            name=string_at(names, name),
            type=kind,
            flags=flags,
            address=address,
            offset=offset,
            size=size,
            alignment=alignment,
            entry_size=entry_size,
        )


def _find_metadata(image: bytes, sections: tuple[Section, ...]) -> tuple[int, int]:
    section = next((section for section in sections if section.name == _METADATA_SECTION), None)
    if section is None:
        raise InvalidEnclaveError("There is no section .note.sgxmeta")
    note = _window(image, section.offset, section.size, ".note.sgxmeta")
    if len(note) < _NOTE.size + len(_METADATA_NOTE_NAME):
        raise InvalidEnclaveError("The section .note.sgxmeta is too small")
    name_size, description_size, _ = _NOTE.unpack_from(note)
    start = _NOTE.size + len(_METADATA_NOTE_NAME)  # the name is not padded, unlike in an ordinary note
    if name_size != len(_METADATA_NOTE_NAME) or note[_NOTE.size : start] != _METADATA_NOTE_NAME:
        raise InvalidEnclaveError('The note in .note.sgxmeta is not named "sgx_metadata"')
    alignment = max(section.alignment, 1)
    if section.size != -(-(start + description_size) // alignment) * alignment:
        raise InvalidEnclaveError("The size of the section .note.sgxmeta does not fit its note")
    return section.offset + start, description_size


def string_at(table: bytes, offset: int, limit: int = 255) -> bytes:
    """The zero-terminated string at ``offset`` of a string table. Raises ``InvalidEnclaveError``."""
    end = table.find(b"\0", offset, offset + limit + 1)
    if end < 0:
        raise InvalidEnclaveError(f"A name lies outside its string table, or has more than {limit} bytes")
    return table[offset:end]


def _window(image: bytes, offset: int, size: int, what: str) -> memoryview:
    if offset + size > len(image):
        raise InvalidEnclaveError(f"The file is truncated: {what} at {offset:#x} with {size:#x} bytes")
    return memoryview(image)[offset : offset + size]
