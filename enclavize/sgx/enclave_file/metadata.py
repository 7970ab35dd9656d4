"""The metadata block in .note.sgxmeta: what the loader needs beside the ELF file.

      0 magic u64                      8 version u64 (major << 32 | minor)
     16 size u32                      20 TCS policy u32
     24 SSA frame size in pages u32   28 XSAVE area size u32
     32 desired MISCSELECT u32        36 TCSMinPool u32
     40 enclave size u64              48 ATTRIBUTES
     64 SIGSTRUCT
   1872 directories of (offset u32, size u32): patch table, layout table, ELRange, extensions; then the data

Offsets count from the block's first byte. Up to SDK 2.23 the last two directories do not exist; with an
ELRange its directory is the first thing in the data, and so in the same place.

A second block, for other platforms, begins right after the first one's ``size`` bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.sgx.enclave_file.layout import LayoutEntry, parse_layout
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.structures import SIGSTRUCT_SIZE, Attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.sgx.enclave_file.layout import Layout

MAGIC = 0x86A80294635D0E4C
SIGSTRUCT_OFFSET = 64
DIRECTORIES_OFFSET = SIGSTRUCT_OFFSET + SIGSTRUCT_SIZE
ELRANGE_MAJOR = 10  # versions above it have an ELRange

_HEADER = struct.Struct("<QQIIIIIIQ16s")
_DIRECTORY = struct.Struct("<II")
_PATCH = struct.Struct("<QII16x")
_ELRANGE = struct.Struct("<QQQ")
_PATCH_TABLE = 0
_LAYOUT_TABLE = 1
_ELRANGE_TABLE = 2
_MIN_SIZE = DIRECTORIES_OFFSET + 3 * _DIRECTORY.size
_MAX_SSA_FRAME_SIZE = 4


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Before the file is loaded, ``size`` bytes at ``source`` in the metadata go to ``destination`` in the
    file.
    """

    destination: int
    source: int
    size: int

    def to_bytes(self) -> bytes:
        return _PATCH.pack(self.destination, self.source, self.size)


@dataclass(frozen=True, kw_only=True)
class ElRange:
    """The enclave's address range where it is larger than the image: addresses and size in bytes."""

    image_address: int
    start: int
    size: int

    def to_bytes(self) -> bytes:
        return _ELRANGE.pack(self.image_address, self.start, self.size)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """One block. ``data`` is all of it, from the magic number on."""

    data: bytes
    version: tuple[int, int]
    tcs_policy: int
    ssa_frame_size: int
    xsave_size: int
    desired_misc_select: int
    tcs_min_pool: int
    enclave_size: int
    attributes: Attributes
    patches: tuple[Patch, ...]
    layout: Layout
    elrange: ElRange | None

    @property
    def sigstruct_bytes(self) -> bytes:
        return self.data[SIGSTRUCT_OFFSET:DIRECTORIES_OFFSET]

    @property
    def secs_size(self) -> int:
        """SECS.SIZE."""
        return self.elrange.size if self.elrange else self.enclave_size

    @property
    def image_offset(self) -> int:
        """What an rva needs to become an offset from SECS.BASEADDR."""
        return self.elrange.image_address - self.elrange.start if self.elrange else 0

    def content(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]

    @property
    def is_exact(self) -> bool:
        """Whether ``data`` is what is parsed out of it, each part in its place, and zeros in between."""
        written = bytearray(len(self.data))
        for offset, part in self._parts():
            written[offset : offset + len(part)] = part
        return bytes(written) == self.data

    def _parts(self) -> Iterator[tuple[int, bytes]]:
        major, minor = self.version
        fields = (self.tcs_policy, self.ssa_frame_size, self.xsave_size, self.desired_misc_select)
        version, size = major << 32 | minor, len(self.data)
        yield (
            0,
            _HEADER.pack(
                MAGIC,
                version,
                size,
                *fields,
                self.tcs_min_pool,
                self.enclave_size,
                self.attributes.to_bytes(),
            ),
        )
        yield SIGSTRUCT_OFFSET, self.sigstruct_bytes
        tables = [b"".join(patch.to_bytes() for patch in self.patches)]
        tables += [b"".join(record.to_bytes() for record in self.layout)]
        tables += [self.elrange.to_bytes()] if self.elrange else []
        for index, table in enumerate(tables):
            place = DIRECTORIES_OFFSET + index * _DIRECTORY.size
            offset, _ = _DIRECTORY.unpack_from(self.data, place)
            yield place, build_directory(offset, len(table))
            yield offset, table
        contents = [(patch.source, patch.size) for patch in self.patches]
        contents += [
            (record.content_offset, record.content_size)
            for record in self.layout
            if isinstance(record, LayoutEntry) and record.content_offset
        ]
        for offset, size in contents:
            yield offset, self.content(offset, size)

    def with_sigstruct(self, sigstruct: bytes) -> Metadata:
        return replace(self, data=self.data[:SIGSTRUCT_OFFSET] + sigstruct + self.data[DIRECTORIES_OFFSET:])


def parse_blocks(data: bytes) -> tuple[Metadata, ...]:
    """The chain of blocks in the note's description; empty if the enclave is not signed.

    Raises ``InvalidEnclaveError`` for a block whose tables do not lie inside it.
    """
    return tuple(_blocks(data))


def _blocks(data: bytes) -> Iterator[Metadata]:
    start = 0
    while (
        start + DIRECTORIES_OFFSET <= len(data) and int.from_bytes(data[start : start + 8], "little") == MAGIC
    ):
        size = int.from_bytes(data[start + 16 : start + 20], "little")
        if size < _MIN_SIZE or start + size > len(data):
            raise InvalidEnclaveError(f"a metadata block of {size} bytes does not fit .note.sgxmeta")
        yield parse_block(data[start : start + size])
        start += size


def parse_block(data: bytes) -> Metadata:
    """Parses one block. Raises ``InvalidEnclaveError``."""
    (_, version, _, tcs_policy, ssa_frame_size, xsave_size, desired_misc_select, tcs_min_pool, enclave_size,
     attributes) = _HEADER.unpack_from(data)  # fmt: skip
    major, minor = version >> 32, version & 0xFFFFFFFF
    if not 1 <= ssa_frame_size <= _MAX_SSA_FRAME_SIZE:
        raise InvalidEnclaveError(f"Metadata: an SSA frame of {ssa_frame_size} pages")
    if not enclave_size or enclave_size & (enclave_size - 1):
        raise InvalidEnclaveError(f"Metadata: the enclave size {enclave_size:#x} is no power of two")
    patches = _table(data, _PATCH_TABLE, _PATCH.size)
    return Metadata(
        data=data,
        version=(major, minor),
        tcs_policy=tcs_policy,
        ssa_frame_size=ssa_frame_size,
        xsave_size=xsave_size,
        desired_misc_select=desired_misc_select,
        tcs_min_pool=tcs_min_pool,
        enclave_size=enclave_size,
        attributes=Attributes.parse(attributes),
        patches=tuple(
            Patch(destination=destination, source=source, size=size)
            for destination, source, size in _PATCH.iter_unpack(patches)
        ),
        layout=parse_layout(_table(data, _LAYOUT_TABLE, _PATCH.size)),
        elrange=_elrange(data) if major > ELRANGE_MAJOR else None,
    )


def build_header(
    *,
    version: tuple[int, int],
    size: int,
    tcs_policy: int,
    ssa_frame_size: int,
    xsave_size: int,
    desired_misc_select: int,
    tcs_min_pool: int,
    enclave_size: int,
    attributes: Attributes,
) -> bytes:
    """The 64 bytes before SIGSTRUCT."""
    major, minor = version
    return _HEADER.pack(
        MAGIC, major << 32 | minor, size, tcs_policy, ssa_frame_size, xsave_size,
        desired_misc_select, tcs_min_pool, enclave_size, attributes.to_bytes(),
    )  # fmt: skip


def build_directory(offset: int, size: int) -> bytes:
    return _DIRECTORY.pack(offset, size)


def _elrange(data: bytes) -> ElRange:
    table = _table(data, _ELRANGE_TABLE, _ELRANGE.size)
    if len(table) != _ELRANGE.size:
        raise InvalidEnclaveError("Metadata: the ELRange is missing")
    image_address, start, size = _ELRANGE.unpack(table)
    return ElRange(image_address=image_address, start=start, size=size)


def _table(data: bytes, index: int, record_size: int) -> bytes:
    offset, size = _DIRECTORY.unpack_from(data, DIRECTORIES_OFFSET + index * _DIRECTORY.size)
    if size and (offset < DIRECTORIES_OFFSET or offset + size > len(data) or size % record_size):
        raise InvalidEnclaveError(f"Metadata: directory {index} points outside the block")
    return data[offset : offset + size]
