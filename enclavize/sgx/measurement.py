"""MRENCLAVE: one SHA-256 over the 64-byte records of ECREATE, EADD and EEXTEND.

Source: SDM volume 3D, "Measurement" in the chapter on enclave operation, and the pseudo-code of the three
leaves.

    ECREATE  "ECREATE\\0"      ssa frame size in pages u32, enclave size in bytes u64, 44 zero bytes
    EADD     "EADD\\0\\0\\0\\0"  page offset u64, SECINFO.FLAGS u64, 40 zero bytes of SECINFO
    EEXTEND  "EEXTEND\\0"      chunk offset u64, 48 zero bytes; then the 256 bytes of the chunk

The records of neighbouring pages differ in a few bytes of their offset only. The bulk forms keep a block of
records, rewrite those bytes with strided slices, and hash the block in one call: the speed is SHA-256's, the
memory constant. Content is put between the records by struct and join, which run in C.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from enclavize.sgx.structures import EEXTEND_CHUNK, PAGE_SIZE, AttributeFlags

if TYPE_CHECKING:
    from enclavize.sgx.structures import Attributes

RECORD_SIZE = 64
CHUNKS_PER_PAGE = PAGE_SIZE // EEXTEND_CHUNK
_CHUNK_STRIDE = RECORD_SIZE + EEXTEND_CHUNK
_PAGE_STRIDE = RECORD_SIZE + CHUNKS_PER_PAGE * _CHUNK_STRIDE  # an EADD and its 16 EEXTENDs: 5184 bytes
_OFFSET = 8  # of the page or chunk offset inside a record
_ADDED_PER_BLOCK = 4096  # records of EADD alone: bytes 0..2 of the offset follow from the place in the block
_BLOCKS_KEPT = 8
_EXTENDED_PER_BLOCK = 16  # pages with their chunks: bytes 0..1 do


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What SIGSTRUCT says about an enclave, besides who signed it and when."""

    mrenclave: bytes
    attributes: Attributes
    attributes_mask: Attributes
    misc_select: int
    misc_mask: int
    isv_prod_id: int = 0
    isv_svn: int = 0
    isv_family_id: bytes = bytes(16)
    isvext_prod_id: bytes = bytes(16)
    swdefined: int = 0
    vendor: int = 0
    header_type: int = 0

    @property
    def debuggable(self) -> bool:
        """Whether the launcher may debug the enclave: DEBUG is set, or EINIT does not compare it."""
        fixed = self.attributes_mask.flags & AttributeFlags.DEBUG
        return self.attributes.debug or not fixed


class MrenclaveHasher:
    """Collects the records of one enclave's building, in its order.

    Offsets are relative to the enclave's base (SECS.BASEADDR) and page-aligned; ``flags`` is SECINFO.FLAGS.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._blocks: dict[tuple[int, bytes | None], _OffsetBlock] = {}

    def digest(self) -> bytes:
        return self._sha256.digest()

    def ecreate(self, ssa_frame_size: int, size: int) -> None:
        """``ssa_frame_size`` in pages, ``size`` of the enclave in bytes."""
        self._sha256.update(struct.pack("<8sIQ44x", b"ECREATE", ssa_frame_size, size))

    def eadd(self, offset: int, flags: int) -> None:
        self._sha256.update(struct.pack("<8sQQ40x", b"EADD", offset, flags))

    def eextend(self, offset: int, chunk: bytes) -> None:
        """``chunk`` is 256 bytes."""
        if len(chunk) != EEXTEND_CHUNK:
            raise ValueError("EEXTEND measures 256 bytes")
        self._sha256.update(struct.pack("<8sQ48x", b"EEXTEND", offset))
        self._sha256.update(chunk)

    def add_pages(self, offset: int, count: int, flags: int) -> None:
        """EADD of ``count`` pages, none of them extended."""
        self._block(flags, None).hash_run(self._sha256, offset, count)

    def add_equal_pages(self, offset: int, count: int, flags: int, page: bytes) -> None:
        """EADD and EEXTEND of ``count`` pages with the same content."""
        self._block(flags, page).hash_run(self._sha256, offset, count)

    def add_data(self, offset: int, data: bytes | memoryview, flags: int) -> None:
        """EADD and EEXTEND of pages with the content ``data``, a multiple of the page size."""
        if len(data) % PAGE_SIZE:
            raise ValueError("pages are measured whole")
        self._block(flags, b"").hash_run(self._sha256, offset, len(data) // PAGE_SIZE, memoryview(data))

    def _block(self, flags: int, page: bytes | None) -> _OffsetBlock:
        """Records for pages that are not extended (None), all equal, or filled in as they come (b"")."""
        key = flags, page
        if key not in self._blocks:
            if len(self._blocks) == _BLOCKS_KEPT:
                self._blocks.clear()
            if page is None:
                record = struct.pack("<8sQQ40x", b"EADD", 0, flags)
                self._blocks[key] = _OffsetBlock(record, _ADDED_PER_BLOCK, (0,))
            else:
                records = _extended_page_records(flags, page or bytes(PAGE_SIZE))
                self._blocks[key] = _OffsetBlock(records, _EXTENDED_PER_BLOCK, _RECORDS_OF_PAGE)
        return self._blocks[key]


# Where the records lie whose offsets count up inside one page, and by how much each is ahead of the page.
_RECORDS_OF_PAGE = (0, *(RECORD_SIZE + chunk * _CHUNK_STRIDE for chunk in range(CHUNKS_PER_PAGE)))


def _extended_page_records(flags: int, page: bytes) -> bytes:
    if len(page) != PAGE_SIZE:
        raise ValueError("a page has 4096 bytes")
    records = [struct.pack("<8sQQ40x", b"EADD", 0, flags)]
    for start in range(0, PAGE_SIZE, EEXTEND_CHUNK):
        records.append(struct.pack("<8sQ48x", b"EEXTEND", start))
        records.append(page[start : start + EEXTEND_CHUNK])
    return b"".join(records)


class _OffsetBlock:
    """The records of ``pages`` neighbouring pages, from an address aligned to their common size."""

    def __init__(self, page_records: bytes, pages: int, records: tuple[int, ...]) -> None:
        self._pages = pages
        self._stride = len(page_records)
        self._records = records
        self._fixed_bytes = (pages * PAGE_SIZE - 1).bit_length() // 8  # low bytes of offsets, never rewritten
        self._buffer = bytearray(page_records * pages)
        self._view = memoryview(self._buffer)
        self._high = 0
        low = [index * PAGE_SIZE for index in range(pages)]
        for record in records:
            for byte in range(self._fixed_bytes):
                if byte == 0:
                    continue  # pages and chunks are multiples of 256: byte 0 is always zero
                start = record + _OFFSET + byte
                first = self._buffer[start]
                self._buffer[start :: self._stride] = bytes(
                    first + (value >> 8 * byte) & 0xFF for value in low
                )

    def hash_run(
        self, sha256: hashlib._Hash, offset: int, count: int, content: memoryview | None = None
    ) -> None:
        if offset % PAGE_SIZE:
            raise ValueError("pages are page-aligned")
        if offset < 0 or count < 0 or offset + count * PAGE_SIZE > 2**64:
            raise ValueError("pages outside the 64-bit address space")
        page, end = offset // PAGE_SIZE, offset // PAGE_SIZE + count
        while page < end:
            self._move_to(page // self._pages)
            first = page % self._pages
            here = min(self._pages - first, end - page)
            records: bytes | memoryview = self._view[first * self._stride : (first + here) * self._stride]
            if content is not None:
                records = _with_content(records, content[: here * PAGE_SIZE], here)
                content = content[here * PAGE_SIZE :]
            sha256.update(records)
            page += here

    def _move_to(self, high: int) -> None:
        """Writes the bytes of every offset that are the same in the whole block."""
        changed = high ^ self._high
        self._high = high
        for byte in range(self._fixed_bytes, 8):
            shift = 8 * (byte - self._fixed_bytes)
            if changed >> shift & 0xFF:
                value = bytes([high >> shift & 0xFF]) * self._pages
                for record in self._records:
                    self._buffer[record + _OFFSET + byte :: self._stride] = value


def _with_content(records: bytes | memoryview, content: memoryview, pages: int) -> bytes:
    """The records of ``pages`` extended pages with their chunks, which are ``content``."""
    parts = [b""] * (2 * CHUNKS_PER_PAGE * pages)
    parts[::2] = _heads(pages).unpack(records)
    parts[1::2] = _chunks(pages).unpack(content)
    return b"".join(parts)


@cache
def _heads(pages: int) -> struct.Struct:
    """What stands before each chunk: the record of EEXTEND, and of EADD before the first of a page."""
    first, other = (f"{size}s{EEXTEND_CHUNK}x" for size in (2 * RECORD_SIZE, RECORD_SIZE))
    return struct.Struct((first + other * (CHUNKS_PER_PAGE - 1)) * pages)


@cache
def _chunks(pages: int) -> struct.Struct:
    return struct.Struct(f"{EEXTEND_CHUNK}s" * (CHUNKS_PER_PAGE * pages))
