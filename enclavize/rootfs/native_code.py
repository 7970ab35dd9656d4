"""The native form of looking for instructions in ELF files (native/host/code.zig): one call for a piece."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

from enclavize.rootfs.accelerator import Pinned, native_library
from enclavize.rootfs.elf_code import (
    INT80,
    MAX_CODE_SEGMENTS,
    MAX_CODE_SIZE,
    MAX_SITES,
    OVERLAP,
    RDTSCP,
    SYSENTER,
    in_turn,
)
from enclavize.rootfs.toolchain_marks import ToolchainMarks

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBER_WORDS = 16
_WORD = 64
_INSTRUCTIONS = {1: INT80, 2: RDTSCP, 4: SYSENTER}
_MAX_OFFSET = (1 << 64) - 1


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint64), ("end", ctypes.c_uint64))


class _Scan(ctypes.Structure):
    _fields_ = (
        ("ranges", _Range * MAX_CODE_SEGMENTS),
        ("ranges_count", ctypes.c_uint64),
        ("code_left", ctypes.c_uint64),
        ("sites_left", ctypes.c_uint64),
        ("numbers", ctypes.c_uint64 * _NUMBER_WORDS),
        ("instructions", ctypes.c_uint64),
        ("tail", ctypes.c_uint8 * OVERLAP),
        ("tail_size", ctypes.c_uint64),
        ("before", ctypes.c_uint8 * OVERLAP),
        ("before_size", ctypes.c_uint64),
    )


@cache
def _function() -> Any:
    library: Any = native_library("enclavize_scan_code")
    if library is None:
        return None
    call = library.enclavize_scan_code
    call.argtypes = (ctypes.POINTER(_Scan), ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t)
    call.restype = ctypes.c_bool
    return call


def is_available() -> bool:
    """Tell whether the native part was built."""
    return _function() is not None


class NativeCodeScan:
    """Finds what ``elf_code.CodeScan`` finds. Python reads only where there may be a mark of a toolchain."""

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = sorted(ranges)
        self._marks = ToolchainMarks()
        self._scan = _Scan(ranges_count=len(ranges), code_left=MAX_CODE_SIZE, sites_left=MAX_SITES)
        for number, (start, end) in enumerate(self._ranges):
            self._scan.ranges[number] = _Range(min(start, _MAX_OFFSET), min(end, _MAX_OFFSET))

    @property
    def syscalls(self) -> tuple[int, ...]:
        """See CodeScan."""
        words = enumerate(self._scan.numbers)
        return tuple(
            word * _WORD + bit for word, bits in words if bits for bit in range(_WORD) if bits >> bit & 1
        )

    @property
    def instructions(self) -> tuple[str, ...]:
        """See CodeScan."""
        return tuple(name for bit, name in _INSTRUCTIONS.items() if self._scan.instructions & bit)

    @property
    def toolchain(self) -> str:
        """See CodeScan."""
        return self._marks.toolchain

    def feed(self, offset: int, piece: bytes | memoryview) -> None:
        """Take the piece at ``offset`` of the file."""
        with Pinned() as pinned:
            if not _function()(ctypes.byref(self._scan), offset, pinned.address(piece), len(piece)):
                return
        data = b"".join((bytes(self._scan.before)[: self._scan.before_size], piece))
        base = offset - self._scan.before_size
        for first, last, is_code in in_turn(self._ranges, base, len(data)):
            if not is_code:
                self._marks.look(data, first, last, base)
