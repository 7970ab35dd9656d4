"""What the runtime in the enclave is told: ``g_global_data``, and the template of a TCS.

Source: Intel SGX SDK, its global_data_t and thread_data_t. docs/enclave-file.md has the offsets.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from enclavize.sgx.enclave_file.attributes import SSA_GPR_SIZE
from enclavize.sgx.enclave_file.generation import ThreadData
from enclavize.sgx.enclave_file.layout import RECORD_SIZE, SSA_FRAMES, LayoutId, entry_of
from enclavize.sgx.structures import PAGE_SIZE, TcsFlags, pack_tcs

if TYPE_CHECKING:
    from enclavize.sgx.enclave_file.config import EnclaveConfig
    from enclavize.sgx.enclave_file.generation import Generation
    from enclavize.sgx.enclave_file.layout import Layout
    from enclavize.sgx.enclave_file.metadata import ElRange

_HEAD = struct.Struct("<10Q")
# Addresses relative to the TCS. With AEXNOTIFY there came the first SSA frame's XSAVE area and other fields.
_THREAD_DATA = struct.Struct("<5Q16xQ16xQQ64x")
_THREAD_DATA_AEX_NOTIFY = struct.Struct("<5Q16xQ24xQ8xQQ72x")
_TLS_ADDRESS_OFFSET, _TLS_ADDRESS_OFFSET_AEX_NOTIFY = 80, 104
_TAIL = struct.Struct("<8xQQ64x")
_AEX_NOTIFY_ENTROPY = bytes(8)
_TAIL = struct.Struct("<4Q")


def tcs_template(layout: Layout, config: EnclaveConfig, entry: int) -> bytes:
    """72 bytes; OSSA, OFSBASE and OGSBASE are relative to the TCS."""
    tcs, ssa, thread_data = (entry_of(layout, kind) for kind in (LayoutId.TCS, LayoutId.SSA, LayoutId.TD))
    base = thread_data.rva + thread_data.size - PAGE_SIZE - tcs.rva + config.image_offset
    return pack_tcs(
        flags=TcsFlags.AEXNOTIFY if config.enable_aex_notify else 0,
        ossa=ssa.rva - tcs.rva + config.image_offset,
        nssa=SSA_FRAMES,
        oentry=entry + config.image_offset,
        ofs_base=base,
        ogs_base=base,
        ofs_limit=0xFFFFFFFF,
        ogs_limit=0xFFFFFFFF,
    )


def global_data(
    config: EnclaveConfig,
    layout: Layout,
    generation: Generation,
    *,
    elrange: ElRange | None,
    tcs: bytes,
    enclave_size: int,
    ssa_frame_size: int,
    xsave_size: int,
    tls_size: int,
    bookkeeping: int,
) -> bytes:
    """The content of ``g_global_data``: what the runtime in the enclave knows of its surroundings."""
    heap, stack, ssa, td, tcs_entry = (
        entry_of(layout, kind)
        for kind in (LayoutId.HEAP_MIN, LayoutId.STACK_MIN, LayoutId.SSA, LayoutId.TD, LayoutId.TCS)
    )
    has_reserved = any(record.id == LayoutId.RESERVED_MIN for record in layout)
    head = _HEAD.pack(
        0,  # the SDK version, which only the unpatched file holds
        enclave_size,
        heap.rva,
        config.heap_init,
        entry_of(layout, LayoutId.RESERVED_MIN).rva if has_reserved else 0,
        config.reserved_mem_init if has_reserved else 0,
        config.reserved_mem_executable if has_reserved else 0,
        config.tcs_policy,
        config.threads_max,
        config.tcs_num,
    )
    stack_base = stack.rva + stack.size - tcs_entry.rva
    self_address = td.rva + td.size - PAGE_SIZE - tcs_entry.rva
    ssa_base = ssa.rva - tcs_entry.rva
    stacks = (stack_base % 2**64, stack_base % 2**64, (stack_base - config.stack_max_size) % 2**64)
    first_gpr = ssa_base + ssa_frame_size * PAGE_SIZE - SSA_GPR_SIZE
    tls = self_address - tls_size
    if generation.thread_data is ThreadData.AEX_NOTIFY:
        tls_array = self_address + _TLS_ADDRESS_OFFSET_AEX_NOTIFY
        thread_data = _THREAD_DATA_AEX_NOTIFY.pack(
            self_address, *stacks, first_gpr, xsave_size, ssa_base, tls, tls_array
        )
    else:
        tls_array = self_address + _TLS_ADDRESS_OFFSET
        thread_data = _THREAD_DATA.pack(self_address, *stacks, first_gpr, xsave_size, tls, tls_array)
    table = b"".join(record.to_bytes() for record in layout).ljust(generation.max_layout * RECORD_SIZE, b"\0")
    tail = _TAIL.pack(
        elrange.image_address if elrange else 0,
        elrange.start if elrange else 0,
        elrange.size if elrange else 0,
        bookkeeping,
    )
    data = head + thread_data + tcs + struct.pack("<Q", len(layout)) + table + tail
    # Before SDK 2.20 the last number does not exist; since 2.26 a FIPS mode, 0 here, follows it.
    return data[: generation.global_data_size].ljust(generation.global_data_size, b"\0")
