"""The layout table: heap, threads and other regions that are no part of the file.

Source: Intel SGX SDK, the layout_t of its metadata. Two kinds of records, 32 bytes each:

    entry  id u16, attributes u16, page count u32, rva u64, content size u32, content offset u32, SECINFO
    flags u64 group  id u16, entry count u16, load times u32, load step u64, 16 reserved bytes

A group repeats the entries before it: ``load_times`` times, each time ``load_step`` bytes further on. An rva
is relative to the image.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.sgx.structures import PAGE_SIZE, TCS_SIZE, SecinfoFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.sgx.enclave_file.config import EnclaveConfig

RECORD_SIZE = 32
SSA_FRAMES = 2
STACK_FILL = 0xCCCCCCCC
GUARD_PAGES = 16

_ENTRY = struct.Struct("<HHIQIIQ")
_GROUP = struct.Struct("<HHIQ16x")
_GROUP_FLAG = 0x1000
_U32 = 2**32 - 1
_MAX_ENCLAVE = 2**62

_READ_WRITE = int(SecinfoFlags.REG | SecinfoFlags.R | SecinfoFlags.W)
_READ_WRITE_EXECUTE = int(SecinfoFlags.REG | SecinfoFlags.R | SecinfoFlags.W | SecinfoFlags.X)
_TCS = int(SecinfoFlags.TCS)


class LayoutId(IntEnum):
    """What a record is for."""

    HEAP_MIN = 1
    HEAP_INIT = 2
    HEAP_MAX = 3
    TCS = 4
    TD = 5
    SSA = 6
    STACK_MAX = 7
    STACK_MIN = 8
    GUARD = 10
    TCS_DYN = 14
    TD_DYN = 15
    SSA_DYN = 16
    STACK_DYN_MAX = 17
    STACK_DYN_MIN = 18
    RESERVED_MIN = 20
    RESERVED_INIT = 21
    RESERVED_MAX = 22
    USER_REGION = 23
    THREAD_GROUP = _GROUP_FLAG | 9
    THREAD_GROUP_DYN = _GROUP_FLAG | 19


_DYNAMIC_IDS = {
    LayoutId.TCS: LayoutId.TCS_DYN,
    LayoutId.TD: LayoutId.TD_DYN,
    LayoutId.SSA: LayoutId.SSA_DYN,
    LayoutId.STACK_MAX: LayoutId.STACK_DYN_MAX,
    LayoutId.STACK_MIN: LayoutId.STACK_DYN_MIN,
}


class PageAttributes(IntFlag):
    """What the loader does with the pages of an entry."""

    EADD = 0x01
    EEXTEND = 0x02
    EREMOVE = 0x04
    POST_ADD = 0x08
    POST_REMOVE = 0x10
    DYN_THREAD = 0x20
    GROW_DOWN = 0x40


_MEASURED = int(PageAttributes.EADD | PageAttributes.EEXTEND)
_REMOVABLE = int(PageAttributes.EADD | PageAttributes.POST_ADD | PageAttributes.POST_REMOVE)
_POST_ADD = int(PageAttributes.POST_ADD)


@dataclass(frozen=True, kw_only=True)
class LayoutEntry:
    """One region. With ``content_offset`` = 0, ``content_size`` is a fill pattern: each u32 of the region has
    its value.
    """

    id: int
    attributes: int = 0
    page_count: int
    rva: int = 0
    content_size: int = 0
    content_offset: int = 0
    secinfo_flags: int = 0

    @property
    def size(self) -> int:
        return self.page_count * PAGE_SIZE

    def to_bytes(self) -> bytes:
        return _ENTRY.pack(
            self.id, self.attributes, self.page_count, self.rva,
            self.content_size, self.content_offset, self.secinfo_flags,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LayoutGroup:
    """Repeats the ``entry_count`` records before it."""

    id: int
    entry_count: int
    load_times: int
    load_step: int = 0

    @property
    def size(self) -> int:
        return self.load_times * self.load_step

    def to_bytes(self) -> bytes:
        return _GROUP.pack(self.id, self.entry_count, self.load_times, self.load_step)


Layout = tuple[LayoutEntry | LayoutGroup, ...]


def parse_layout(data: bytes) -> Layout:
    """``data`` is a multiple of 32 bytes; nothing else is checked here."""
    records: list[LayoutEntry | LayoutGroup] = []
    for start in range(0, len(data), RECORD_SIZE):
        record = data[start : start + RECORD_SIZE]
        if int.from_bytes(record[:2], "little") & _GROUP_FLAG:
            kind, count, times, step = _GROUP.unpack(record)
            records.append(LayoutGroup(id=kind, entry_count=count, load_times=times, load_step=step))
        else:
            kind, attributes, pages, rva, content_size, content_offset, flags = _ENTRY.unpack(record)
            records.append(
                LayoutEntry(
                    id=kind,
                    attributes=attributes,
                    page_count=pages,
                    rva=rva,
                    content_size=content_size,
                    content_offset=content_offset,
                    secinfo_flags=flags,
                )
            )
    return tuple(records)


def entry_of(layout: Layout, kind: LayoutId) -> LayoutEntry:
    """The first entry of this kind, which is the utility thread's."""
    return next(record for record in layout if isinstance(record, LayoutEntry) and record.id == kind)


def build_layout(
    config: EnclaveConfig,
    *,
    image_end: int,
    ssa_frame_size: int,
    tls_size: int,
    tcs_offset: int,
    user_region_size: int,
) -> tuple[Layout, int]:
    """The table as SGX2 loaders read it, and the size of the enclave.

    ``ssa_frame_size`` is in pages, ``tcs_offset`` is where the metadata has the TCS template. Raises
    ``UsageError`` for regions that the format cannot describe.
    """
    thread = tuple(_thread(config, ssa_frame_size, tls_size, tcs_offset))
    records = [*_heap(config), *_threads(config, thread), *_reserved(config)]
    if user_region_size:
        records.append(_region(LayoutId.USER_REGION, user_region_size, _POST_ADD, _READ_WRITE))
    placed, end = _place(records, image_end)
    if end > _MAX_ENCLAVE:
        raise UsageError(f"an enclave of {end:#x} bytes is too large")
    enclave_size = 1 << (end - 1).bit_length()
    if enclave_size > end:
        guard = _region(LayoutId.GUARD, enclave_size - end, 0, 0)
        placed.append(replace(guard, rva=end))
    return tuple(placed), enclave_size


def sgx1_layout(layout: Layout, config: EnclaveConfig) -> Layout:
    """The table as SGX1 loaders read it: nothing is added or removed later, all threads are alike."""
    utility_end = next(index for index, record in enumerate(layout) if record.id == LayoutId.TD) + 1
    utility_start = next(index for index, record in enumerate(layout) if record.id == LayoutId.GUARD)
    rest = layout[utility_end:]
    reserved = tuple(record for record in rest if LayoutId.RESERVED_MIN <= record.id <= LayoutId.RESERVED_MAX)
    if rest and rest[0].id != LayoutId.RESERVED_MIN:
        utility = layout[utility_start:utility_end]
        group = LayoutGroup(
            id=LayoutId.THREAD_GROUP,
            entry_count=len(utility),
            load_times=config.tcs_num - 1,
            load_step=sum(record.size for record in utility),
        )
        rest = (group, *reserved)
    return tuple(_without_dynamics(layout[:utility_end])) + tuple(_without_dynamics(rest))


def _without_dynamics(records: Layout) -> Iterator[LayoutEntry | LayoutGroup]:
    for record in records:
        match record:
            case LayoutEntry(id=LayoutId.HEAP_MAX | LayoutId.RESERVED_MAX):
                yield replace(record, attributes=record.attributes & ~_POST_ADD, secinfo_flags=0)
            case LayoutEntry(id=LayoutId.HEAP_INIT | LayoutId.RESERVED_INIT | LayoutId.STACK_MAX):
                yield replace(record, attributes=record.attributes & ~_POST_ADD)
            case _:
                yield record


def _heap(config: EnclaveConfig) -> Iterator[LayoutEntry]:
    low, init, high = config.heap_min_size, config.heap_init, config.heap_max_size
    yield _region(LayoutId.HEAP_MIN, low, PageAttributes.EADD, _READ_WRITE)
    if init > low:
        yield _region(LayoutId.HEAP_INIT, init - low, _REMOVABLE, _READ_WRITE)
    if high > init:
        yield _region(LayoutId.HEAP_MAX, high - init, _POST_ADD, _READ_WRITE)


def _reserved(config: EnclaveConfig) -> Iterator[LayoutEntry]:
    low, init, high = config.reserved_mem_min_size, config.reserved_mem_init, config.reserved_mem_max_size
    if not high:
        return
    flags = _READ_WRITE_EXECUTE if config.reserved_mem_executable else _READ_WRITE
    yield _region(LayoutId.RESERVED_MIN, low, PageAttributes.EADD, flags)
    if init > low:
        yield _region(LayoutId.RESERVED_INIT, init - low, _REMOVABLE, flags)
    if high > init:
        yield _region(LayoutId.RESERVED_MAX, high - init, _POST_ADD, _READ_WRITE)


def _thread(
    config: EnclaveConfig, ssa_frame_size: int, tls_size: int, tcs_offset: int
) -> Iterator[LayoutEntry]:
    """guard, stack, guard, TCS, SSA, guard, thread data with thread-local storage below it."""
    guard = LayoutEntry(id=LayoutId.GUARD, page_count=GUARD_PAGES)
    yield guard
    low, high = config.stack_min_size, config.stack_max_size
    if high > low:
        attributes = _MEASURED | PageAttributes.GROW_DOWN
        yield replace(
            _region(LayoutId.STACK_MAX, high - low, attributes, _READ_WRITE), content_size=STACK_FILL
        )
    yield replace(_region(LayoutId.STACK_MIN, low, _MEASURED, _READ_WRITE), content_size=STACK_FILL)
    yield guard
    tcs = _region(LayoutId.TCS, PAGE_SIZE, _MEASURED, _TCS)
    yield replace(tcs, content_size=TCS_SIZE, content_offset=tcs_offset)
    yield _region(LayoutId.SSA, SSA_FRAMES * ssa_frame_size * PAGE_SIZE, _MEASURED, _READ_WRITE)
    yield guard
    yield _region(LayoutId.TD, PAGE_SIZE + _round_up(tls_size, PAGE_SIZE), _MEASURED, _READ_WRITE)


def _threads(config: EnclaveConfig, thread: tuple[LayoutEntry, ...]) -> Iterator[LayoutEntry | LayoutGroup]:
    """The utility thread, the pool, the threads that are removed after initialisation, the dynamic ones."""
    dynamic_stack = PageAttributes.POST_ADD | PageAttributes.POST_REMOVE
    for entry in thread:
        is_stack = entry.id == LayoutId.STACK_MAX
        yield replace(entry, attributes=entry.attributes | dynamic_stack) if is_stack else entry
    static = config.static_threads
    removed = config.tcs_num - 1 - static
    if static:
        yield from thread
        yield from _repeat(LayoutId.THREAD_GROUP, thread, static - 1)
    if removed:
        for entry in thread:
            is_guard = entry.id == LayoutId.GUARD
            yield entry if is_guard else replace(entry, attributes=entry.attributes | PageAttributes.EREMOVE)
        yield from _repeat(LayoutId.THREAD_GROUP, thread, removed - 1)
    if config.threads_max > static + 1:
        yield from (_dynamic(entry) for entry in thread)
        times = config.threads_max - static - 1
        yield LayoutGroup(id=LayoutId.THREAD_GROUP_DYN, entry_count=len(thread), load_times=times)


def _repeat(kind: LayoutId, thread: tuple[LayoutEntry, ...], times: int) -> Iterator[LayoutGroup]:
    if times:
        yield LayoutGroup(id=kind, entry_count=len(thread), load_times=times)


def _dynamic(entry: LayoutEntry) -> LayoutEntry:
    match entry.id:
        case LayoutId.GUARD:
            return entry
        case LayoutId.STACK_MAX:
            attributes = _POST_ADD | PageAttributes.GROW_DOWN
        case _:
            attributes = _POST_ADD | PageAttributes.DYN_THREAD
    return replace(entry, id=_DYNAMIC_IDS[LayoutId(entry.id)], attributes=attributes)


def _region(kind: LayoutId, size: int, attributes: int, secinfo_flags: int) -> LayoutEntry:
    pages = size // PAGE_SIZE
    if pages > _U32:
        # The field has 32 bits; sgx_sign cuts off the rest and signs another enclave than the one asked for.
        raise UsageError(f"a region of {size:#x} bytes is too large for the enclave format ({kind.name})")
    return LayoutEntry(id=kind, attributes=int(attributes), page_count=pages, secinfo_flags=secinfo_flags)


def _place(
    records: list[LayoutEntry | LayoutGroup], start: int
) -> tuple[list[LayoutEntry | LayoutGroup], int]:
    """Gives each entry its rva and each group its step, from ``start`` on."""
    placed: list[LayoutEntry | LayoutGroup] = []
    for record in records:
        if isinstance(record, LayoutGroup):
            step = sum(entry.size for entry in placed[-record.entry_count :])
            placed.append(replace(record, load_step=step))
        else:
            placed.append(replace(record, rva=start))
        start += placed[-1].size
    return placed, start


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step
