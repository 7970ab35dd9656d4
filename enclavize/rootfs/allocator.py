"""The memory of large buffers goes back to the system as soon as they are freed.

glibc does so from a size on that it raises with each large buffer that is freed, up to 32 MiB (mallopt(3),
M_MMAP_THRESHOLD). Of a few buffers that come and go in several threads, it would keep some 30 MB for ever.
"""

from __future__ import annotations

import ctypes
from functools import cache

_M_MMAP_THRESHOLD = -3
"""malloc.h."""
_THRESHOLD = 384 << 10
"""Bytes; the many pieces of layers (decompress.py) are smaller, and are used again."""


@cache
def return_large_buffers() -> None:
    """Fix that size, once. Other C libraries have no such setting, and need none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ctypes.c_int(_M_MMAP_THRESHOLD), ctypes.c_int(_THRESHOLD))
