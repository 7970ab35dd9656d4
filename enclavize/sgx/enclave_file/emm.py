"""The user region of SGX2 enclaves: what the configuration asks for, and room for the SDK's dynamic memory
manager (sgx-emm) to keep its books.

Source: calculate_rts_bk_overhead and build_layout_table of sgx_sign in SDK 2.18, 2.19 and 2.20. How a release
rounds the manager's allocations, and how its reservations add up, decides the size of the region, which is
in the layout table and so in MRENCLAVE.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.sgx.enclave_file.layout import SSA_FRAMES
from enclavize.sgx.structures import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.sgx.enclave_file.config import EnclaveConfig

_NODE_SIZE = 72  # of an ema_t
_BITMAP_SIZE = 24  # of a bit_array
_RESERVE = 0x10000  # the first reservation, doubled by each further one
_RESERVE_HEADER = 32
_GUARD = 0x8000  # before and after each reservation
_MAX_RESERVATIONS = 29  # emalloc never reserves more than 2**28 bytes


class EmmModel(Enum):
    """How a release counts."""

    UNROUNDED = auto()  # SDK 2.18: sizes as they are, one reservation
    RESERVATIONS = auto()  # SDK 2.19: blocks of 16 bytes, as many reservations as it takes
    SINGLE_RESERVE = auto()  # since SDK 2.20: emalloc's blocks with their headers, one reservation that fits


@dataclass(frozen=True, kw_only=True)
class UserRegion:
    """Sizes in bytes, both 0 where there is none. ``bookkeeping`` is what the runtime is told since 2.20."""

    size: int = 0
    bookkeeping: int = 0


def user_region(
    model: EmmModel,
    config: EnclaveConfig,
    *,
    segment_sizes: Sequence[int],
    ssa_frame_size: int,
    tls_size: int,
) -> UserRegion:
    """The region of an enclave with these segments; ``ssa_frame_size`` is in pages.

    Raises ``UsageError`` for what the memory manager cannot keep books of.
    """
    runtime = _runtime_bookkeeping(model, config, segment_sizes, ssa_frame_size, tls_size)
    wanted = config.user_region_size
    extra = _round_up(wanted >> 15, PAGE_SIZE)
    match model:
        case EmmModel.UNROUNDED:
            return UserRegion(size=_round_up(runtime + _RESERVE + 2 * _GUARD, PAGE_SIZE) + wanted + extra)
        case EmmModel.RESERVATIONS:
            reservations = (_round_up(runtime, _RESERVE) // _RESERVE).bit_length()
            if reservations > _MAX_RESERVATIONS:
                raise UsageError("the enclave's regions are too large for the SDK's dynamic memory manager")
            total = ((1 << reservations) - 1) * _RESERVE + reservations * 2 * _GUARD
            return UserRegion(size=total + wanted + extra)
        case EmmModel.SINGLE_RESERVE:
            if wanted:
                runtime += max(extra, PAGE_SIZE)
            bookkeeping = _round_up(runtime + _RESERVE_HEADER, _RESERVE)
            return UserRegion(size=wanted + bookkeeping + 2 * _GUARD, bookkeeping=bookkeeping)


def _runtime_bookkeeping(
    model: EmmModel,
    config: EnclaveConfig,
    segment_sizes: Sequence[int],
    ssa_frame_size: int,
    tls_size: int,
) -> int:
    """One node for each region that the runtime registers, and a bitmap for each region whose pages come and
    go.
    """

    def bitmap(size: int) -> int:
        return _block(model, _BITMAP_SIZE) + _block(model, _round_up(size // PAGE_SIZE, 8) // 8)

    node = _block(model, _NODE_SIZE)
    steps = (
        (config.heap_min_size, config.heap_init, config.heap_max_size),
        (config.reserved_mem_min_size, config.reserved_mem_init, config.reserved_mem_max_size),
    )
    memory = 0
    for low, init, high in steps:
        sizes = [low, *(size for size in (init - low, high - init) if size)]
        memory += sum(node + bitmap(size) for size in sizes)
    thread_sizes = [
        config.stack_min_size,
        PAGE_SIZE,
        ssa_frame_size * SSA_FRAMES * PAGE_SIZE,
        PAGE_SIZE + _round_up(tls_size, PAGE_SIZE),
    ]
    if config.stack_max_size > config.stack_min_size:
        thread_sizes.append(config.stack_max_size - config.stack_min_size)
    removed_thread = (3 + len(thread_sizes)) * node  # three guards
    thread = removed_thread + sum(bitmap(size) for size in thread_sizes)
    static = config.static_threads
    threads = 1 + static
    if config.threads_max > static + 1:
        threads += config.threads_max - static
    removed_threads = config.tcs_num - static  # one more than there are
    segments = sum(node + bitmap(_round_up(size, PAGE_SIZE)) for size in segment_sizes)
    last_guard = node if model is EmmModel.SINGLE_RESERVE else 0
    return memory + threads * thread + removed_threads * removed_thread + segments + last_guard


def _block(model: EmmModel, size: int) -> int:
    match model:
        case EmmModel.UNROUNDED:
            return size
        case EmmModel.RESERVATIONS:
            return _round_up(size, 16)
        case EmmModel.SINGLE_RESERVE:
            return max(_round_up(size + 8, 8), 16)  # header, alignment and smallest block of emalloc


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step
