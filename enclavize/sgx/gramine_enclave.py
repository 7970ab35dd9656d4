"""MRENCLAVE of a Gramine enclave: libpal.so, the signed manifest's bytes, and three numbers from it.

Source: Gramine 1.9, its SGX loader and python/graminelibos/sgx_sign.py. Areas are handed out downwards from
the top of the enclave, whose base is 0, and measured in the order in which they are handed out, pages
ascending:

    manifest   text and a NUL                    R       ssa         threads x 2 frames x 4 pages    RW
    tcs        threads x 1 page                  TCS     tls         threads x 1 page                RW
    stack      threads areas of 64 pages         RW      sig_stack   threads areas of 16 pages       RW
    pal        libpal's segments, as they say            free        from 0x10000 up to pal          RWX

The free pages are added without content, and not at all with EDMM; everything else is extended.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.sgx.enclave_file.elf import parse_segments
from enclavize.sgx.enclave_file.load import ADDED_COST, EXTENDED_COST, MAX_MEASURED, measure_segment
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.measurement import MrenclaveHasher
from enclavize.sgx.structures import PAGE_SIZE, SecinfoFlags, pack_tcs

if TYPE_CHECKING:
    from enclavize.sgx.enclave_file.elf import Segment

SSA_FRAME_SIZE = 4 * PAGE_SIZE
SSA_FRAMES = 2
STACK_SIZE = 64 * PAGE_SIZE
SIGNAL_STACK_SIZE = 16 * PAGE_SIZE
HEAP_MIN = 0x10000
MAX_ENCLAVE_SIZE = 1 << 46
"""Bytes: an enclave is aligned to its size, and programs have 47 bits of address space, 0 not included."""

_GPR_SIZE = 184
_TLS_LIMIT = 0xFFF
_STACK_CANARY = 0xBADBADBADBAD

_READ = int(SecinfoFlags.REG | SecinfoFlags.R)
_READ_WRITE = int(SecinfoFlags.REG | SecinfoFlags.R | SecinfoFlags.W)
_READ_WRITE_EXECUTE = int(SecinfoFlags.REG | SecinfoFlags.R | SecinfoFlags.W | SecinfoFlags.X)
_TCS = int(SecinfoFlags.TCS)

_ZERO_PAGE = bytes(PAGE_SIZE)


@dataclass(frozen=True, kw_only=True)
class _Addresses:
    """Where each area starts, or its first one where a thread has one each."""

    manifest: int
    ssa: int
    tcs: int
    tls: int
    stack: int
    signal_stack: int
    pal: int


def measure_gramine(
    libpal: bytes, manifest: bytes, *, enclave_size: int, max_threads: int, edmm: bool
) -> bytes:
    """MRENCLAVE; ``manifest`` are the exact bytes of the .manifest.sgx file, ``enclave_size`` is in bytes.

    Raises ``UsageError`` for sizes that Gramine's loader refuses, ``InvalidEnclaveError`` for a bad libpal.
    """
    if enclave_size <= 0 or enclave_size & (enclave_size - 1):
        raise UsageError(
            f"the enclave size {enclave_size:#x} is no power of two, which Gramine's loader demands",
            hint="Change sgx.enclave_size.",
        )
    if enclave_size > MAX_ENCLAVE_SIZE:
        raise UsageError(
            f"the enclave size {enclave_size:#x} does not fit the address space",
            hint="Change sgx.enclave_size.",
        )
    if max_threads < 1:
        raise UsageError("sgx.max_threads must be at least 1")
    entry, segments = parse_segments(libpal)
    _check_libpal(segments)
    at = _place(enclave_size, max_threads, len(manifest) + 1, max(segment.end_page for segment in segments))
    extended = (enclave_size - at.pal) // PAGE_SIZE
    free = 0 if edmm else (at.pal - HEAP_MIN) // PAGE_SIZE
    if extended * EXTENDED_COST + free * ADDED_COST > MAX_MEASURED:
        raise UsageError(f"an enclave of {enclave_size:#x} bytes is too large to be measured")

    hasher = MrenclaveHasher()
    hasher.ecreate(SSA_FRAME_SIZE // PAGE_SIZE, enclave_size)
    hasher.add_data(at.manifest, manifest.ljust(enclave_size - at.manifest, b"\0"), _READ)
    hasher.add_equal_pages(at.ssa, (at.manifest - at.ssa) // PAGE_SIZE, _READ_WRITE, _ZERO_PAGE)
    for thread in range(max_threads):
        tcs = pack_tcs(
            ossa=at.ssa + thread * SSA_FRAMES * SSA_FRAME_SIZE,
            nssa=SSA_FRAMES,
            oentry=at.pal + entry,
            ofs_base=0,
            ogs_base=at.tls + thread * PAGE_SIZE,
            ofs_limit=_TLS_LIMIT,
            ogs_limit=_TLS_LIMIT,
        )
        hasher.add_data(at.tcs + thread * PAGE_SIZE, tcs.ljust(PAGE_SIZE, b"\0"), _TCS)
    for thread in range(max_threads):
        page = _tls_page(at, thread, enclave_size, len(manifest) + 1)
        hasher.add_data(at.tls + thread * PAGE_SIZE, page, _READ_WRITE)
    for first, size in ((at.stack, STACK_SIZE), (at.signal_stack, SIGNAL_STACK_SIZE)):
        for thread in range(max_threads):
            hasher.add_equal_pages(first - thread * size, size // PAGE_SIZE, _READ_WRITE, _ZERO_PAGE)
    for segment in segments:
        measure_segment(hasher, memoryview(libpal), segment, at.pal)
    hasher.add_pages(HEAP_MIN, free, _READ_WRITE_EXECUTE)
    return hasher.digest()


def _check_libpal(segments: tuple[Segment, ...]) -> None:
    if min(segment.first_page for segment in segments):
        raise InvalidEnclaveError("libpal is not linked at address 0")
    if any((segment.offset - segment.address) % PAGE_SIZE for segment in segments):
        raise InvalidEnclaveError(
            "libpal cannot be mapped: file offset and address of a segment differ in their page"
        )


def _place(enclave_size: int, threads: int, manifest_size: int, pal_size: int) -> _Addresses:
    manifest = (enclave_size - manifest_size) & -PAGE_SIZE
    ssa = manifest - threads * SSA_FRAMES * SSA_FRAME_SIZE
    tcs = ssa - threads * PAGE_SIZE
    tls = tcs - threads * PAGE_SIZE
    stacks = tls - threads * STACK_SIZE
    pal = stacks - threads * SIGNAL_STACK_SIZE - pal_size
    if pal < HEAP_MIN:
        raise UsageError(
            f"the enclave size {enclave_size:#x} is too small for {threads} threads and this manifest",
            hint="Raise sgx.enclave_size, or lower sgx.max_threads.",
        )
    return _Addresses(
        manifest=manifest,
        ssa=ssa,
        tcs=tcs,
        tls=tls,
        stack=tls - STACK_SIZE,
        signal_stack=stacks - SIGNAL_STACK_SIZE,
        pal=pal,
    )


def _tls_page(at: _Addresses, thread: int, enclave_size: int, manifest_size: int) -> bytes:
    """The thread's ``struct pal_enclave_tls``."""
    stack = at.stack - thread * STACK_SIZE
    signal_stack = at.signal_stack - thread * SIGNAL_STACK_SIZE
    ssa = at.ssa + thread * SSA_FRAMES * SSA_FRAME_SIZE
    fields = {
        0x000: at.tls + thread * PAGE_SIZE,  # itself
        0x008: _STACK_CANARY,
        0x110: enclave_size,
        0x118: at.tcs + thread * PAGE_SIZE,
        0x120: stack + STACK_SIZE,
        0x130: signal_stack,
        0x138: signal_stack + SIGNAL_STACK_SIZE,
        0x148: ssa,
        0x150: ssa + SSA_FRAME_SIZE - _GPR_SIZE,
        0x1A0: manifest_size,
        0x1A8: HEAP_MIN,
        0x1B0: at.pal,
    }
    page = bytearray(PAGE_SIZE)
    for offset, value in fields.items():
        struct.pack_into("<Q", page, offset, value)
    return bytes(page)
