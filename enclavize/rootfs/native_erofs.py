"""The native form of writing the measured tree (native/host/erofs.zig); erofs.py is the reference."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from enclavize.rootfs.accelerator import Pinned, native_library
from enclavize.rootfs.erofs_image import ErofsImage
from enclavize.rootfs.native_merge import TreeParts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.rootfs.native_merge import MergedTree


class _Named(ctypes.Structure):
    _fields_ = (
        ("place", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
    )


class _Result(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint64),
        ("verity_size", ctypes.c_uint64),
        ("digest", ctypes.c_uint8 * 32),
    )


@cache
def _library() -> Any:
    library: Any = native_library("enclavize_erofs_write")
    if library is None:
        return None
    library.enclavize_erofs_write.argtypes = (
        ctypes.POINTER(TreeParts),
        ctypes.POINTER(_Named),
        ctypes.c_size_t,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.POINTER(_Result),
    )
    return library


def write_natively(
    tree: MergedTree, contents: Mapping[str, bytes], image: int, verity: int
) -> ErofsImage | None:
    """Write both open files from their beginning; None: the reference has to do it.

    ``contents`` are those of named files, by their first paths. Raises OSError.
    """
    library = _library()
    if library is None:
        return None
    result = _Result()
    with Pinned() as pinned:
        named = (_Named * len(contents))()
        for slot, (path, content) in zip(named, contents.items(), strict=True):
            place = tree.place_of(path)
            assert place is not None
            slot.place, slot.data, slot.size = place, pinned.address(content), len(content)
        code = library.enclavize_erofs_write(
            ctypes.byref(tree.parts(pinned)), named, len(contents), image, verity, ctypes.byref(result)
        )
    if code == -errno.ENOMEM:
        raise MemoryError
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    if code:
        return None
    return ErofsImage(size=result.size, digest=bytes(result.digest), verity_size=result.verity_size)
