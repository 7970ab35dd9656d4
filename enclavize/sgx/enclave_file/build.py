"""Makes the metadata of an unsigned enclave from its file and configuration."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.sgx.enclave_file.config import FEATURE_LOADER_SELECTS, FEATURE_ON
from enclavize.sgx.enclave_file.elf import E_SHNUM, E_SHOFF, E_SHSTRNDX
from enclavize.sgx.enclave_file.layout import (
    RECORD_SIZE,
    SSA_FRAMES,
    LayoutEntry,
    LayoutId,
    build_layout,
    emm_bookkeeping,
    entry_of,
    sgx1_layout,
)
from enclavize.sgx.enclave_file.metadata import (
    ELRANGE_MAJOR,
    ElRange,
    Patch,
    build_directory,
    build_header,
    parse_block,
)
from enclavize.sgx.measurement import Measurement
from enclavize.sgx.sigstruct import TYPE_RELEASE, VENDOR_INTEL
from enclavize.sgx.structures import (
    PAGE_SIZE,
    SIGSTRUCT_SIZE,
    TCS_SIZE,
    AttributeFlags,
    Attributes,
    MiscSelect,
    TcsFlags,
    Xfrm,
    pack_tcs,
)

if TYPE_CHECKING:
    from enclavize.sgx.enclave_file.config import EnclaveConfig
    from enclavize.sgx.enclave_file.elf import EnclaveElf
    from enclavize.sgx.enclave_file.generation import Generation
    from enclavize.sgx.enclave_file.layout import (
        Layout,
    )
    from enclavize.sgx.enclave_file.metadata import Metadata

_ALL_BITS = 2**64 - 1
_UNCHECKED_FLAGS = 0x00FF_0000_0000_0000  # bits 48..55
_SSA_GPR_SIZE = 184
_DIRECTORY_SIZE = 8
_MAX_GLOBAL_LAYOUT = 43

# Size of the XSAVE area (not compacted) that holds the state of these XCR0 bits and of all before them.
_XSAVE_SIZES = (
    (Xfrm.LEGACY, 576),
    (Xfrm.AVX | 2, 832),
    (Xfrm.MPX, 1088),
    (Xfrm.AVX512 | 6, 2688),
    (Xfrm.PKRU, 2752),
    (Xfrm.AMX, 11008),
)

# The runtime's global data (global_data_t) and thread data (thread_data_t); addresses relative to the TCS.
_GLOBAL_HEAD = struct.Struct("<10Q")
_THREAD_DATA = struct.Struct("<5Q16xQ24xQ8xQQ72x")
_TLS_ADDRESS_OFFSET = 104  # in the thread data
_GLOBAL_TAIL = struct.Struct("<4Q")


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """``primary`` is what is measured; ``written`` is what goes into the file, SIGSTRUCT still missing."""

    primary: Metadata
    written: tuple[Metadata, ...]


def build_blocks(
    elf: EnclaveElf, config: EnclaveConfig, generation: Generation, *, entry: int, global_data_offset: int
) -> Blocks:
    """The metadata for this enclave.

    ``entry`` is the address of the entry point, ``global_data_offset`` where the file has ``g_global_data``.
    Raises ``UsageError`` for a configuration that does not fit the enclave.
    """
    elrange = _elrange(config)
    attributes, mask = sgx_attributes(config, generation)
    loader_xfrm = _ALL_BITS & ~mask.xfrm | attributes.xfrm & mask.xfrm
    xsave_size = [size for bits, size in _XSAVE_SIZES if loader_xfrm & bits == bits][-1]
    ssa_frame_size = -(-(xsave_size + _SSA_GPR_SIZE) // PAGE_SIZE)
    has_sgx1, has_sgx2 = _platforms(config, generation)
    emm_overhead = None
    if has_sgx2:
        segment_sizes = [segment.memory_size for segment in elf.segments]
        emm_overhead = emm_bookkeeping(config, segment_sizes, ssa_frame_size, elf.tls_size)

    elrange_offset = generation.data_offset
    if elrange and elrange_offset < _directory_end(generation):
        elrange_offset = _directory_end(generation)
    tcs_offset = elrange_offset + (len(elrange.to_bytes()) if elrange else 0)
    layout, enclave_size = build_layout(
        config,
        image_end=elf.image_end,
        ssa_frame_size=ssa_frame_size,
        tls_size=elf.tls_size,
        tcs_offset=tcs_offset,
        emm_overhead=emm_overhead,
    )
    if elrange and config.image_offset + enclave_size > elrange.size:
        raise UsageError(f"ELRangeSize is too small for the enclave of {enclave_size:#x} bytes")

    tcs = _tcs_template(layout, config, entry)
    global_data_at = tcs_offset + TCS_SIZE
    zeros_at = global_data_at + generation.global_data_size
    patches_at = zeros_at + 8
    patches = (
        Patch(destination=global_data_offset, source=global_data_at, size=generation.global_data_size),
        *(
            Patch(destination=field.start, source=zeros_at, size=field.stop - field.start)
            for field in (
                E_SHNUM,
                E_SHOFF,
                E_SHSTRNDX,
            )  # section headers are not loaded, and strip changes them
        ),
    )
    layout_at = patches_at + len(patches) * RECORD_SIZE
    known_range = elrange
    if not elrange and generation.default_elrange:
        known_range = ElRange(image_address=0, start=0, size=enclave_size)
    global_data = _global_data(
        config,
        layout,
        elrange=known_range,
        tcs=tcs,
        enclave_size=enclave_size,
        ssa_frame_size=ssa_frame_size,
        xsave_size=xsave_size,
        tls_size=elf.tls_size,
        emm_overhead=emm_overhead or 0,
    )
    data = b"".join(
        (
            elrange.to_bytes() if elrange else b"",
            tcs,
            global_data.ljust(generation.global_data_size, b"\0")[: generation.global_data_size],
            bytes(8),
            *(patch.to_bytes() for patch in patches),
        )
    )

    def block(version: tuple[int, int], table: Layout) -> Metadata:
        major, minor = version
        table_bytes = b"".join(record.to_bytes() for record in table)
        directories = build_directory(patches_at, len(patches) * RECORD_SIZE)
        directories += build_directory(layout_at, len(table_bytes))
        if elrange:
            directories += build_directory(elrange_offset, len(elrange.to_bytes()))
        directories = directories.ljust(elrange_offset - 64 - SIGSTRUCT_SIZE, b"\0")
        header = build_header(
            version=(major + ELRANGE_MAJOR if elrange else major, minor),
            size=layout_at + len(table_bytes),
            tcs_policy=config.tcs_policy,
            ssa_frame_size=ssa_frame_size,
            xsave_size=xsave_size,
            desired_misc_select=config.misc_select if generation.masks_misc_select else 0,
            tcs_min_pool=config.pool,
            enclave_size=enclave_size,
            attributes=Attributes(flags=attributes.flags, xfrm=loader_xfrm),
        )
        return parse_block(header + bytes(SIGSTRUCT_SIZE) + directories + data + table_bytes)

    primary = block(generation.sgx2_version, layout)
    written = [primary] if has_sgx2 else []
    if has_sgx1:
        written.append(block(generation.sgx1_version, sgx1_layout(layout, config)))
    return Blocks(primary=primary, written=tuple(written))


def measurement_of(config: EnclaveConfig, generation: Generation, mrenclave: bytes) -> Measurement:
    """What SIGSTRUCT says of an enclave with this configuration."""
    attributes, mask = sgx_attributes(config, generation)
    misc_select = config.misc_select
    return Measurement(
        mrenclave=mrenclave,
        attributes=attributes,
        attributes_mask=mask,
        misc_select=misc_select & config.misc_mask if generation.masks_misc_select else misc_select,
        misc_mask=config.misc_mask,
        isv_prod_id=config.prod_id,
        isv_svn=config.isv_svn,
        isv_family_id=struct.pack("<QQ", config.isv_family_id_l, config.isv_family_id_h),
        isvext_prod_id=struct.pack("<QQ", config.isvext_prod_id_l, config.isvext_prod_id_h),
        swdefined=config.hw,
        vendor=VENDOR_INTEL if config.intel_signed else 0,
        header_type=TYPE_RELEASE if config.release_type else 0,
    )


def sgx_attributes(config: EnclaveConfig, generation: Generation) -> tuple[Attributes, Attributes]:
    """ATTRIBUTES and ATTRIBUTEMASK of SIGSTRUCT."""
    flags = AttributeFlags.MODE64BIT
    for wanted, flag in (
        (config.provision_key, AttributeFlags.PROVISIONKEY),
        (config.launch_key, AttributeFlags.EINITTOKENKEY),
        (config.enable_kss, AttributeFlags.KSS),
        (config.enable_aex_notify, AttributeFlags.AEXNOTIFY),
    ):
        if wanted:
            flags |= flag
    flags_mask = _ALL_BITS & ~_UNCHECKED_FLAGS
    if not config.disable_debug:
        flags_mask &= ~int(AttributeFlags.DEBUG)
    xfrm, xfrm_mask = Xfrm.LEGACY, _ALL_BITS & ~generation.unchecked_xfrm
    for choice, bits in ((config.pkru, Xfrm.PKRU), (config.amx, Xfrm.AMX)):
        if choice == FEATURE_ON:
            xfrm |= bits
        elif choice == FEATURE_LOADER_SELECTS:
            xfrm_mask &= ~int(bits)
    return Attributes(flags=int(flags), xfrm=int(xfrm)), Attributes(flags=flags_mask, xfrm=xfrm_mask)


def _platforms(config: EnclaveConfig, generation: Generation) -> tuple[bool, bool]:
    """Whether SGX1 and SGX2 loaders get metadata."""
    exinfo = MiscSelect.EXINFO
    if config.user_region_size:
        has_sgx1, has_sgx2 = False, True
    elif not config.is_dynamic or not config.misc_select & exinfo:
        has_sgx1, has_sgx2 = True, False
    else:
        has_sgx1, has_sgx2 = not config.misc_mask & exinfo, True
    return has_sgx1 or generation.always_has_sgx1, has_sgx2


def _elrange(config: EnclaveConfig) -> ElRange | None:
    if config.elrange_size is None:
        return None
    return ElRange(
        image_address=config.enclave_image_address or 0,
        start=config.elrange_start_address or 0,
        size=config.elrange_size,
    )


def _directory_end(generation: Generation) -> int:
    """Where the ELRange's directory ends, in the generations that have no place of its own for it."""
    return max(generation.data_offset, 64 + SIGSTRUCT_SIZE + 3 * _DIRECTORY_SIZE)


def _tcs_template(layout: Layout, config: EnclaveConfig, entry: int) -> bytes:
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


def _global_data(
    config: EnclaveConfig,
    layout: Layout,
    *,
    elrange: ElRange | None,
    tcs: bytes,
    enclave_size: int,
    ssa_frame_size: int,
    xsave_size: int,
    tls_size: int,
    emm_overhead: int,
) -> bytes:
    """The content of ``g_global_data``: what the runtime in the enclave knows of its surroundings."""
    heap, stack, ssa, td, tcs_entry = (
        entry_of(layout, kind)
        for kind in (LayoutId.HEAP_MIN, LayoutId.STACK_MIN, LayoutId.SSA, LayoutId.TD, LayoutId.TCS)
    )
    reserved = next((record for record in layout if record.id == LayoutId.RESERVED_MIN), None)
    has_reserved = isinstance(reserved, LayoutEntry)
    head = _GLOBAL_HEAD.pack(
        0,  # the SDK version, which only the unpatched file holds
        enclave_size,
        heap.rva,
        config.heap_init,
        reserved.rva if isinstance(reserved, LayoutEntry) else 0,
        config.reserved_mem_init if has_reserved else 0,
        config.reserved_mem_executable if has_reserved else 0,
        config.tcs_policy,
        config.threads_max,
        config.tcs_num,
    )
    stack_base = stack.rva + stack.size - tcs_entry.rva
    self_address = td.rva + td.size - PAGE_SIZE - tcs_entry.rva
    ssa_base = ssa.rva - tcs_entry.rva
    thread_data = _THREAD_DATA.pack(
        self_address,
        stack_base % 2**64,
        stack_base % 2**64,
        (stack_base - config.stack_max_size) % 2**64,
        ssa_base + ssa_frame_size * PAGE_SIZE - _SSA_GPR_SIZE,
        xsave_size,
        ssa_base,
        self_address - tls_size,
        self_address + _TLS_ADDRESS_OFFSET,
    )
    table = b"".join(record.to_bytes() for record in layout).ljust(_MAX_GLOBAL_LAYOUT * RECORD_SIZE, b"\0")
    tail = _GLOBAL_TAIL.pack(
        elrange.image_address if elrange else 0,
        elrange.start if elrange else 0,
        elrange.size if elrange else 0,
        emm_overhead,
    )
    return head + thread_data + tcs + struct.pack("<Q", len(layout)) + table + tail
