"""Makes enclave ELF files for tests, without a compiler."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PAGE = 4096
R, W, X = 4, 2, 1


@dataclass(kw_only=True)
class Extra:
    """One more PT_LOAD segment: content, bytes of bss, permissions, and where in its first page it begins."""

    content: bytes
    bss: int = 0
    flags: int = R
    skew: int = 0
    gap: int = 0  # pages left free before it


@dataclass(kw_only=True)
class Enclave:
    """``build`` gives the file: headers and symbols (R), code (RX), global and dynamic data (RW), extras."""

    sdk: tuple[int, int] = (2, 26)
    sdk_revision: int = 100
    global_data_size: int = 1768
    description_size: int = 0x6000
    code: bytes = b"\x0f\x0b"
    bss: int = 0
    tls_size: int = 0
    tls_align: int = 1
    entry_symbol: bool = True
    symbols: list[tuple[bytes, int]] = field(default_factory=list)  # name, info; undefined
    relocations: list[tuple[int, int]] = field(default_factory=list)  # offset, type
    extras: list[Extra] = field(default_factory=list)
    sections: list[tuple[bytes, int]] = field(default_factory=list)  # name, flags; empty

    def build(self) -> bytes:
        code_address = PAGE
        data_address = 2 * PAGE + -(-len(self.code) // PAGE) * PAGE
        names = b"\0enclave_entry\0g_global_data\0"
        symbols = bytes(24)
        data = struct.pack("<Q", self.sdk[0] << 32 | self.sdk[1] << 16 | self.sdk_revision).ljust(
            self.global_data_size, b"\1"
        )
        if self.entry_symbol:
            symbols += struct.pack("<IBBHQQ", 1, 0x12, 0, 2, code_address, 2)
        symbols += struct.pack("<IBBHQQ", 15, 0x11, 0, 3, data_address, self.global_data_size)
        for name, info in self.symbols:
            symbols += struct.pack("<IBBHQQ", len(names), info, 0, 0, 0, 0)
            names += name + b"\0"
        rela = b"".join(struct.pack("<QQq", offset, kind, 0) for offset, kind in self.relocations)

        program_count = 4 + len(self.extras) + bool(self.tls_size)
        symbols_at = 64 + 56 * program_count
        names_at = symbols_at + len(symbols)
        rela_at = -(-(names_at + len(names)) // 8) * 8
        head_size = rela_at + len(rela)
        assert head_size <= PAGE
        dynamic_address = data_address + self.global_data_size
        tags = [(5, names_at), (6, symbols_at), (10, len(names)), (11, 24)]
        if rela:
            tags += [(7, rela_at), (8, len(rela)), (9, 24)]
        dynamic = b"".join(struct.pack("<qQ", *tag) for tag in [*tags, (0, 0)])
        data += dynamic

        code_at = PAGE
        data_at = code_at + -(-len(self.code) // PAGE) * PAGE
        segments = [
            (R, 0, 0, head_size, head_size),
            (R | X, code_at, code_address, len(self.code), len(self.code)),
            (R | W, data_at, data_address, len(data), len(data) + self.bss),
        ]
        body = bytearray(data_at)
        body[code_at : code_at + len(self.code)] = self.code
        body += data
        address = data_address + len(data) + self.bss
        for extra in self.extras:
            address = -(-address // PAGE) * PAGE + extra.gap * PAGE + extra.skew
            offset = -(-len(body) // PAGE) * PAGE + extra.skew
            body = body.ljust(offset, b"\xee") + extra.content
            size = len(extra.content)
            segments.append((extra.flags, offset, address, size, size + extra.bss))
            address += size + extra.bss

        programs = b"".join(
            struct.pack("<IIQQQQQQ", 1, flags, offset, at, at, size, memory, PAGE)
            for flags, offset, at, size, memory in segments
        )
        dynamic_at = data_at + self.global_data_size
        programs += struct.pack(
            "<IIQQQQQQ", 2, R | W, dynamic_at, dynamic_address, dynamic_address, len(dynamic), len(dynamic), 8
        )
        if self.tls_size:
            programs += struct.pack(
                "<IIQQQQQQ", 7, R, data_at, data_address, data_address, 0, self.tls_size, self.tls_align
            )

        note_at = -(-len(body) // 4) * 4
        note = (
            struct.pack("<III", 13, self.description_size, 1)
            + b"sgx_metadata\0"
            + bytes(self.description_size)
        )
        note = note.ljust(-(-len(note) // 4) * 4, b"\0")
        body = body.ljust(note_at, b"\0") + note
        # name, type, flags, address, offset, size, link, align, entry size
        sections = [
            (b"", 0, 0, 0, 0, 0, 0, 0),
            (b".dynsym", 11, 2, symbols_at, symbols_at, len(symbols), 8, 24),
            (b".text", 1, 6, code_address, code_at, len(self.code), 16, 0),
            (b".data", 1, 3, data_address, data_at, len(data), 8, 0),
            (b".dynstr", 3, 2, names_at, names_at, len(names), 1, 0),
            (b".note.sgxmeta", 7, 0, 0, note_at, len(note), 4, 0),
        ]
        if rela:
            sections.append((b".rela.dyn", 4, 2, rela_at, rela_at, len(rela), 8, 24))
        sections += [(name, 1, flags, 0, 0, 0, 1, 0) for name, flags in self.sections]
        section_names = bytearray()
        offsets = []
        for name in [*(section[0] for section in sections), b".shstrtab"]:
            offsets.append(len(section_names))
            section_names += name + b"\0"
        sections.append((b".shstrtab", 3, 0, 0, len(body), len(section_names), 1, 0))
        body += section_names
        body = body.ljust(-(-len(body) // 8) * 8, b"\0")
        section_headers = len(body)
        for name_at, (_, kind, flags, at, offset, size, align, entry) in zip(offsets, sections, strict=True):
            body += struct.pack("<IIQQQQIIQQ", name_at, kind, flags, at, offset, size, 0, 0, align, entry)
        header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
            "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, section_headers, 0, 64, 56, program_count, 64, len(sections),
            len(sections) - 1,
        )  # fmt: skip
        body[:64] = header
        body[64 : 64 + len(programs)] = programs
        body[symbols_at : symbols_at + len(symbols)] = symbols
        body[names_at : names_at + len(names)] = names
        body[rela_at : rela_at + len(rela)] = rela
        return bytes(body)
