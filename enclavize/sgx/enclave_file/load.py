"""What a loader makes of an enclave file and its metadata: the pages, in order, and so the measurement.

Signer and verifier share this module. docs/enclave-file.md describes the same for other loaders.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from enclavize.sgx.enclave_file.layout import LayoutEntry, LayoutGroup, PageAttributes
from enclavize.sgx.enclave_file.linking import relocated_pages
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.measurement import MrenclaveHasher
from enclavize.sgx.structures import PAGE_SIZE, TCS_FIELDS, TCS_SIZE, SecinfoFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.sgx.enclave_file.elf import EnclaveElf, Segment
    from enclavize.sgx.enclave_file.metadata import Metadata

_ZERO_PAGE = bytes(PAGE_SIZE)
_WINDOW = 256 * PAGE_SIZE
_TCS_RELATIVE = tuple(field for field in TCS_FIELDS if field.name in {"OSSA", "OFSBASE", "OGSBASE"})
_REG = int(SecinfoFlags.REG)
_PERMISSIONS = int(SecinfoFlags.R | SecinfoFlags.W | SecinfoFlags.X)

# Bounds for files from outside: 2**20 regions are 100,000 threads, 32 GiB of records a heap of 2 TiB.
_MAX_REGIONS = 2**20
MAX_MEASURED = 2**35
ADDED_COST = 64
EXTENDED_COST = 5184


@dataclass(frozen=True, kw_only=True)
class Region:
    """Pages that the loader adds: ``pages`` of them at ``rva``, all with the content ``page``.

    ``page`` is one page, or None for zeros; ``extended`` tells whether the content is measured.
    """

    rva: int
    pages: int
    secinfo_flags: int
    extended: bool
    page: bytes | None = None


def measure(elf: EnclaveElf, metadata: Metadata) -> bytes:
    """MRENCLAVE of the enclave as a loader builds it. Raises ``InvalidEnclaveError``."""
    check_loadable(elf, metadata)
    regions = list(added_regions(metadata))
    _check_cost(elf, regions)
    image = patched_image(elf.image, metadata)
    writable = relocated_pages(elf)
    base = metadata.image_offset
    hasher = MrenclaveHasher()
    hasher.ecreate(metadata.ssa_frame_size, metadata.secs_size)
    for segment in elf.segments:
        measure_segment(hasher, image, segment, base, writable)
    for region in regions:
        if not region.extended:
            hasher.add_pages(base + region.rva, region.pages, region.secinfo_flags)
        elif region.secinfo_flags == SecinfoFlags.TCS and region.page:
            hasher.add_data(base + region.rva, region.page, region.secinfo_flags)
        else:
            page = region.page or _ZERO_PAGE
            hasher.add_equal_pages(base + region.rva, region.pages, region.secinfo_flags, page)
    return hasher.digest()


def patched_image(image: bytes, metadata: Metadata) -> memoryview:
    """The file with the patch table applied."""
    patched = bytearray(image)
    for patch in metadata.patches:
        if patch.destination + patch.size > len(image) or patch.source + patch.size > len(metadata.data):
            raise InvalidEnclaveError("Metadata: a patch points outside the file")
        patched[patch.destination : patch.destination + patch.size] = metadata.content(
            patch.source, patch.size
        )
    return memoryview(patched).toreadonly()


def check_loadable(elf: EnclaveElf, metadata: Metadata) -> None:
    """Raises ``InvalidEnclaveError`` unless the parts of the enclave lie inside it and do not overlap."""
    spans = [(segment.first_page, segment.end_page) for segment in elf.segments if segment.memory_size]
    spans += [(record.rva, record.rva + record.size) for record in expand(metadata) if record.page_count]
    spans.sort()
    for (start, end), (next_start, _) in pairwise(spans):
        if next_start < end:
            raise InvalidEnclaveError(f"Metadata: the regions at {start:#x} and {next_start:#x} overlap")
    if any(start % PAGE_SIZE or end > metadata.enclave_size for start, end in spans):
        raise InvalidEnclaveError("Metadata: a region lies outside the enclave, or is not page-aligned")
    if (elrange := metadata.elrange) is None:
        return
    aligned = not (elrange.size & (elrange.size - 1) or elrange.image_address % PAGE_SIZE)
    if not elrange.size or not aligned or elrange.start % elrange.size:
        raise InvalidEnclaveError("Metadata: the ELRange is not aligned")
    if not 0 <= metadata.image_offset <= elrange.size - metadata.enclave_size:
        raise InvalidEnclaveError("Metadata: the ELRange does not hold the enclave")


def expand(metadata: Metadata) -> Iterator[LayoutEntry]:
    """The layout table's entries, groups repeated, with their final rva. Raises ``InvalidEnclaveError``."""
    count = 0
    records = metadata.layout
    for index, record in enumerate(records):
        if isinstance(record, LayoutEntry):
            repeated: tuple[LayoutEntry | LayoutGroup, ...] = (record,)
            times, step = range(1), 0
        else:
            repeated = records[max(index - record.entry_count, 0) : index]
            times, step = range(1, record.load_times + 1), record.load_step
            if len(repeated) != record.entry_count:
                raise InvalidEnclaveError("Metadata: a group repeats more entries than there are")
        count += len(times) * max(len(repeated), 1)
        if count > _MAX_REGIONS:
            raise InvalidEnclaveError(f"Metadata: more than {_MAX_REGIONS} regions")
        for time in times:
            for entry in repeated:
                if isinstance(entry, LayoutGroup):
                    raise InvalidEnclaveError("Metadata: a group repeats another group")
                yield replace(entry, rva=entry.rva + time * step) if time else entry


def added_regions(metadata: Metadata) -> Iterator[Region]:
    """The regions that the loader adds before EINIT, in order. Raises ``InvalidEnclaveError``."""
    for entry in expand(metadata):
        if not entry.attributes & PageAttributes.EADD or not entry.page_count:
            continue
        if entry.content_offset:
            yield _tcs_region(entry, metadata)
        elif entry.secinfo_flags:
            if entry.secinfo_flags & ~_PERMISSIONS != _REG:
                raise InvalidEnclaveError(f"Metadata: unknown SECINFO flags {entry.secinfo_flags:#x}")
            fill = entry.content_size.to_bytes(4, "little")
            yield Region(
                rva=entry.rva,
                pages=entry.page_count,
                secinfo_flags=entry.secinfo_flags,
                extended=bool(entry.attributes & PageAttributes.EEXTEND),
                page=fill * (PAGE_SIZE // 4) if entry.content_size else None,
            )


def _tcs_region(entry: LayoutEntry, metadata: Metadata) -> Region:
    """The template's OSSA, OFSBASE and OGSBASE are relative to the TCS; the page has them relative to the
    image.
    """
    if entry.secinfo_flags != SecinfoFlags.TCS or entry.page_count != 1 or entry.content_size != TCS_SIZE:
        raise InvalidEnclaveError("Metadata: only a TCS of one page may have content of its own")
    template = bytearray(metadata.content(entry.content_offset, TCS_SIZE))
    if len(template) != TCS_SIZE:
        raise InvalidEnclaveError("Metadata: the TCS template lies outside the block")
    for field in _TCS_RELATIVE:
        address = int.from_bytes(template[field.slice], "little") + entry.rva
        template[field.slice] = (address % 2**64).to_bytes(8, "little")
    return Region(
        rva=entry.rva,
        pages=1,
        secinfo_flags=entry.secinfo_flags,
        extended=bool(entry.attributes & PageAttributes.EEXTEND),
        page=bytes(template).ljust(PAGE_SIZE, b"\0"),
    )


def measure_segment(
    hasher: MrenclaveHasher,
    image: memoryview,
    segment: Segment,
    base: int,
    writable: frozenset[int] = frozenset(),
) -> None:
    """Every page the segment touches; bytes before its start and after its content are zero.

    ``writable`` are page numbers (address / 4096) that get W beside the segment's permissions.
    """
    if not segment.memory_size:
        return
    file_end = segment.first_page
    if segment.file_size:
        file_end = -(-(segment.address + segment.file_size) // PAGE_SIZE) * PAGE_SIZE
    for run_start, run_end, flags in _permission_runs(segment, file_end, writable):
        for start in range(run_start, run_end, _WINDOW):
            end = min(start + _WINDOW, run_end)
            hasher.add_data(base + start, _content(image, segment, start, end), flags)
    zero_pages = (segment.end_page - file_end) // PAGE_SIZE
    hasher.add_equal_pages(base + file_end, zero_pages, segment.secinfo_flags, _ZERO_PAGE)


def _content(image: memoryview, segment: Segment, start: int, end: int) -> bytes:
    """The bytes at the addresses [start, end)."""
    low = max(start, segment.address)
    high = min(end, segment.address + segment.file_size)
    shift = segment.offset - segment.address
    return bytes(low - start) + image[low + shift : high + shift] + bytes(end - high)


def _permission_runs(
    segment: Segment, file_end: int, writable: frozenset[int]
) -> Iterator[tuple[int, int, int]]:
    """Runs of addresses with equal SECINFO flags: pages with content and a relocation are writable."""
    start = segment.first_page
    pages = (page * PAGE_SIZE for page in writable)
    for page in sorted(page for page in pages if start <= page < file_end):
        if start < page:
            yield start, page, segment.secinfo_flags
        yield page, page + PAGE_SIZE, segment.secinfo_flags | SecinfoFlags.W
        start = page + PAGE_SIZE
    if start < file_end:
        yield start, file_end, segment.secinfo_flags


def _check_cost(elf: EnclaveElf, regions: list[Region]) -> None:
    pages = sum((segment.end_page - segment.first_page) // PAGE_SIZE for segment in elf.segments)
    cost = pages * EXTENDED_COST
    cost += sum(region.pages * (EXTENDED_COST if region.extended else ADDED_COST) for region in regions)
    if cost > MAX_MEASURED:
        raise InvalidEnclaveError(f"the enclave is too large to be measured: {cost:#x} bytes of records")
