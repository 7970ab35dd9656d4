"""The memory of large buffers goes back to the system as they are freed; that of pieces is used again.

glibc does so from a size on that it raises with each large buffer that is freed, up to 32 MiB (mallopt(3),
M_MMAP_THRESHOLD). Of a few buffers that come and go in several threads, it would keep some 30 MB for ever.
"""

from __future__ import annotations

import ctypes
from functools import cache

_M_MMAP_THRESHOLD = -3
"""malloc.h."""
_THRESHOLD = 768 << 10
"""Bytes; the many pieces of layers (decompress.py) are smaller, and are used again."""
_M_TRIM_THRESHOLD = -1
_KEPT = 8 << 20
"""Bytes that each thread's memory keeps free for the next pieces: with glibc's 128 KiB, less than a piece,
the kernel would take them back and clear them again and again."""


@cache
def return_large_buffers() -> None:
    """Fix these sizes, once. Other C libraries have no such setting, and need none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ctypes.c_int(_M_MMAP_THRESHOLD), ctypes.c_int(_THRESHOLD))
        mallopt(ctypes.c_int(_M_TRIM_THRESHOLD), ctypes.c_int(_KEPT))
