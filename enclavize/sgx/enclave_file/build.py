"""Makes the metadata of an unsigned enclave from its file and configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.sgx.enclave_file.attributes import loader_attributes, ssa_frame_pages, xsave_area_size
from enclavize.sgx.enclave_file.elf import E_SHNUM, E_SHOFF, E_SHSTRNDX
from enclavize.sgx.enclave_file.emm import UserRegion, user_region
from enclavize.sgx.enclave_file.global_data import global_data, tcs_template
from enclavize.sgx.enclave_file.layout import RECORD_SIZE, build_layout, sgx1_layout
from enclavize.sgx.enclave_file.metadata import (
    DIRECTORIES_OFFSET,
    ELRANGE_MAJOR,
    ElRange,
    Patch,
    build_directory,
    build_header,
    parse_block,
)
from enclavize.sgx.structures import SIGSTRUCT_SIZE, TCS_SIZE, MiscSelect

if TYPE_CHECKING:
    from enclavize.sgx.enclave_file.config import EnclaveConfig
    from enclavize.sgx.enclave_file.elf import EnclaveElf
    from enclavize.sgx.enclave_file.generation import Generation
    from enclavize.sgx.enclave_file.layout import Layout
    from enclavize.sgx.enclave_file.metadata import Metadata

_DIRECTORY_SIZE = 8
_ELRANGE_SIZE = 24
_ZEROS = bytes(8)

# The loader reads neither, and strip changes them.
_SECTION_HEADER_FIELDS = (E_SHNUM, E_SHOFF, E_SHSTRNDX)


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """``primary`` is what is measured; ``written`` is what goes into the file, SIGSTRUCT still missing."""

    primary: Metadata
    written: tuple[Metadata, ...]


class _Offsets:
    """Where the tables of the data lie in a block, in their order."""

    def __init__(self, generation: Generation, *, has_elrange: bool) -> None:
        self.elrange = generation.data_offset
        self.tcs = self.elrange
        if has_elrange:
            # The generations without a place for its directory have it at the beginning of the data.
            self.elrange = max(self.elrange, DIRECTORIES_OFFSET + 3 * _DIRECTORY_SIZE)
            self.tcs = self.elrange + _ELRANGE_SIZE
        self.global_data = self.tcs + TCS_SIZE
        self.zeros = self.global_data + generation.global_data_size
        self.patches = self.zeros + len(_ZEROS)
        self.layout = self.patches + (1 + len(_SECTION_HEADER_FIELDS)) * RECORD_SIZE


def build_blocks(
    elf: EnclaveElf, config: EnclaveConfig, generation: Generation, *, entry: int, global_data_offset: int
) -> Blocks:
    """The metadata for this enclave.

    ``entry`` is the address of the entry point, ``global_data_offset`` where the file has ``g_global_data``.
    Raises ``UsageError`` for a configuration that does not fit the enclave.
    """
    _check_elements(config, generation)
    has_sgx1, has_sgx2 = _platforms(config, generation)
    elrange = _elrange(config)
    offsets = _Offsets(generation, has_elrange=elrange is not None)
    attributes = loader_attributes(config, generation)
    xsave_size = xsave_area_size(attributes.xfrm)
    ssa_frame_size = ssa_frame_pages(xsave_size)
    region = UserRegion()
    if has_sgx2 and generation.emm:
        region = user_region(
            generation.emm,
            config,
            segment_sizes=[segment.memory_size for segment in elf.segments],
            ssa_frame_size=ssa_frame_size,
            tls_size=elf.tls_size,
        )
    layout, enclave_size = build_layout(
        config,
        image_end=elf.image_end,
        ssa_frame_size=ssa_frame_size,
        tls_size=elf.tls_size,
        tcs_offset=offsets.tcs,
        user_region_size=region.size,
    )
    if len(layout) > generation.max_layout:
        raise UsageError(
            f"the enclave's {len(layout)} regions are more than SDK {generation.name} can describe"
        )
    if elrange and config.image_offset + enclave_size > elrange.size:
        raise UsageError(f"ELRangeSize is too small for the enclave of {enclave_size:#x} bytes")

    known_range = elrange
    if not elrange and generation.default_elrange:
        known_range = ElRange(image_address=0, start=0, size=enclave_size)
    tcs = tcs_template(layout, config, entry)
    runtime_data = global_data(
        config,
        layout,
        generation,
        elrange=known_range,
        tcs=tcs,
        enclave_size=enclave_size,
        ssa_frame_size=ssa_frame_size,
        xsave_size=xsave_size,
        tls_size=elf.tls_size,
        bookkeeping=region.bookkeeping,
    )
    patches = _patches(offsets, global_data_offset, generation.global_data_size)
    data = tcs + runtime_data + _ZEROS + patches
    if elrange:
        data = elrange.to_bytes() + data

    def block(version: tuple[int, int], table: Layout) -> Metadata:
        major, minor = version
        records = b"".join(record.to_bytes() for record in table)
        header = build_header(
            version=(major + ELRANGE_MAJOR if elrange else major, minor),
            size=offsets.layout + len(records),
            tcs_policy=config.tcs_policy,
            ssa_frame_size=ssa_frame_size,
            xsave_size=generation.save_area_size or xsave_size,
            desired_misc_select=config.misc_select if generation.masks_misc_select else 0,
            tcs_min_pool=config.pool,
            enclave_size=enclave_size,
            attributes=attributes,
        )
        directories = build_directory(offsets.patches, len(patches))
        directories += build_directory(offsets.layout, len(records))
        if elrange:
            directories += build_directory(offsets.elrange, _ELRANGE_SIZE)
        directories = directories.ljust(offsets.elrange - DIRECTORIES_OFFSET, b"\0")
        return parse_block(header + bytes(SIGSTRUCT_SIZE) + directories + data + records)

    primary = block(generation.sgx2_version, layout)
    written = [primary] if has_sgx2 else []
    if generation.copy_version and not elrange:
        written.append(block(generation.copy_version, layout))
    if has_sgx1:
        written.append(block(generation.sgx1_version, sgx1_layout(layout, config)))
    return Blocks(primary=primary, written=tuple(written))


def _patches(offsets: _Offsets, global_data_offset: int, global_data_size: int) -> bytes:
    patches = [Patch(destination=global_data_offset, source=offsets.global_data, size=global_data_size)]
    patches += [
        Patch(destination=field.start, source=offsets.zeros, size=field.stop - field.start)
        for field in _SECTION_HEADER_FIELDS
    ]
    return b"".join(patch.to_bytes() for patch in patches)


def _check_elements(config: EnclaveConfig, generation: Generation) -> None:
    for element in fields(config):
        if element.name in generation.unknown_elements and getattr(config, element.name):
            raise UsageError(
                f"SGX SDK {generation.name}, of this enclave, has no {element.metadata['element']}"
            )


def _platforms(config: EnclaveConfig, generation: Generation) -> tuple[bool, bool]:
    """Whether SGX1 and SGX2 loaders get metadata."""
    exinfo = MiscSelect.EXINFO
    if config.user_region_size:
        has_sgx1, has_sgx2 = False, True
    elif not config.is_dynamic or not config.misc_select & exinfo:
        has_sgx1, has_sgx2 = True, False
    else:
        has_sgx1, has_sgx2 = not config.misc_mask & exinfo, True
    return has_sgx1 or generation.always_has_sgx1, has_sgx2 or generation.always_has_sgx2


def _elrange(config: EnclaveConfig) -> ElRange | None:
    if config.elrange_size is None:
        return None
    return ElRange(
        image_address=config.enclave_image_address or 0,
        start=config.elrange_start_address or 0,
        size=config.elrange_size,
    )
