"""The optional native form of ``verity.hash_blocks``: same results, without the interpreter's lock.

Threads that hash block by block in Python would pass the lock to and fro for every 4096 bytes.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.resources import native_file

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARY = "libenclavize-hash.so"
CPU_FLAGS = frozenset({"sha_ni", "avx2"})
"""What the library is compiled for."""


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


@cache
def native_hash_blocks() -> Callable[[bytes | memoryview], bytes] | None:
    """Return the native function; None if it was not built, or not for this CPU."""
    try:
        call = ctypes.CDLL(str(native_file(LIBRARY))).enclavize_hash_blocks
    except (EnclavizeError, OSError, AttributeError):
        return None
    if not _cpu_flags() >= CPU_FLAGS:
        return None
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    call.restype = None

    def hash_blocks(data: bytes | memoryview) -> bytes:
        digests = ctypes.create_string_buffer(-(-len(data) // 4096) * 32)
        view = _Buffer()
        # The only way to the address of a read-only buffer.
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(data), ctypes.byref(view), 0)
        try:
            call(view.buf, len(data), digests)
        finally:
            ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
        return digests.raw

    return hash_blocks


def _cpu_flags() -> frozenset[str]:
    """Return the flags of the first CPU."""
    with Path("/proc/cpuinfo").open() as lines:
        return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
