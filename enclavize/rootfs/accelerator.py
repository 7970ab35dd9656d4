"""Optional native forms of what is done for every byte of a layer: same results, and no interpreter's lock.

Threads that hash block by block in Python would pass the lock to and fro for every 4096 bytes.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from enclavize.errors import EnclavizeError
from enclavize.resources import native_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LIBRARY = "libenclavize-hash.so"
CPU_FLAGS = frozenset({"sha_ni", "avx2"})
"""What the library is compiled for."""
PORTABLE_LIBRARY = "libenclavize-hash-portable.so"
"""The same for all other x86-64 processors."""
ELF64_SYMBOL_SIZE = 24
"""Elf64_Sym: gABI, chapter 4, "Symbol Table"."""


class _Buffer(ctypes.Structure):
    """Py_buffer (Include/pybuffer.h)."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


class Pinned:
    """Addresses of buffers, read-only ones too, that stay where they are as long as this is open."""

    def __init__(self) -> None:
        self._views: list[_Buffer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for view in self._views:
            ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))

    def address(self, data: bytes | memoryview) -> int:
        """Return where the bytes are; 0 if there are none."""
        view = _Buffer()
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(data), ctypes.byref(view), 0)
        self._views.append(view)
        return int(view.buf or 0)


def native_library(*functions: str) -> ctypes.CDLL | None:
    """Return the library; None if it was not built (with these functions), or not for this CPU."""
    name = LIBRARY if _cpu_flags() >= CPU_FLAGS else PORTABLE_LIBRARY
    try:
        library = ctypes.CDLL(str(native_file(name)))
        for function in functions:
            getattr(library, function)
    except (EnclavizeError, OSError, AttributeError):
        return None
    return library


def _function(name: str) -> Any:
    library = native_library(name)
    return None if library is None else getattr(library, name)


@cache
def native_hash_blocks() -> Callable[[bytes | memoryview], bytes] | None:
    """Return the native form of ``verity.hash_blocks``, or None."""
    if (call := _function("enclavize_hash_blocks")) is None:
        return None
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    call.restype = None

    def hash_blocks(data: bytes | memoryview) -> bytes:
        digests = ctypes.create_string_buffer(-(-len(data) // 4096) * 32)
        with Pinned() as pinned:
            call(pinned.address(data), len(data), digests)
        return digests.raw

    return hash_blocks


@cache
def native_undefined_names() -> Callable[[bytes], list[int]] | None:
    """Return the native form of ``elf_symbols.undefined_names``, or None."""
    if (call := _function("enclavize_undefined_names")) is None:
        return None
    call.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
    call.restype = ctypes.c_size_t

    def undefined_names(symbols: bytes) -> list[int]:
        count = len(symbols) // ELF64_SYMBOL_SIZE
        names = (ctypes.c_uint32 * count)()
        return names[: call(symbols, count, names)]

    return undefined_names


def _cpu_flags() -> frozenset[str]:
    """Return the flags of the first CPU."""
    with Path("/proc/cpuinfo").open() as lines:
        return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
