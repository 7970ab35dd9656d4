"""Where the host finds the content of each file of an image whose layers it keeps as uncompressed archives.

    16 bytes    "enclavize data 1"
     8 bytes    how many records there are
    32 bytes    for each file that the enclave asks the host for, in the order of the bytes of their paths:
                where its path is in this file, where its content is in the layer, its size (8 bytes each);
                number of the layer (4), size of the path (2), nothing (2)
    paths       one after the other

All numbers are little-endian. Files with holes are stored in parts in their layers: theirs is the number that
is one too high, that of a file with their whole contents one after the other, in the order of records.
Nothing of this is trusted in the enclave: it asks for a path, and verifies what comes.
``native/host/data_index.zig`` writes the same; ``native/pal/layers.c`` reads it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

from enclavize.rootfs.accelerator import Pinned, native_library
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.layer import KEEP_ALWAYS_SIZE
from enclavize.rootfs.names import path_bytes
from enclavize.rootfs.native_merge import MergedTree, TreeParts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.listed_tree import ListedTree

_HEADER = struct.Struct("<16sQ")
_MAGIC = b"enclavize data 1"
_RECORD = struct.Struct("<QQQIHxx")


def write_data_index(entries: MergedTree | ListedTree, layers: int, file: BinaryIO) -> bool:
    """Write the index of a tree of ``layers`` layers; tell whether there are files with holes.

    Raises OSError.
    """
    native = _native() if isinstance(entries, MergedTree) else None
    if native is None:
        return _write(entries, layers, file)
    assert isinstance(entries, MergedTree)
    expanded = ctypes.c_uint64()
    with Pinned() as pinned:
        code = native(ctypes.byref(entries.parts(pinned)), file.fileno(), ctypes.byref(expanded))
    if code:
        raise OSError(-code, os.strerror(-code))
    return expanded.value > 0


def files_with_holes(entries: MergedTree | ListedTree) -> list[Entry]:
    """Return them in the order of their records."""
    return [entry for entry in _asked(entries) if not entry.data_offset]


def _asked(entries: MergedTree | ListedTree) -> Iterator[Entry]:
    for entry in entries.of_types({FileType.REGULAR}):
        if entry.path == entry.data_path and entry.size > KEEP_ALWAYS_SIZE:
            yield entry


def _write(entries: MergedTree | ListedTree, layers: int, file: BinaryIO) -> bool:
    asked = list(_asked(entries))
    expanded = 0
    path_at = _HEADER.size + len(asked) * _RECORD.size
    file.write(_HEADER.pack(_MAGIC, len(asked)))
    for entry in asked:
        path_size = len(path_bytes(entry.path))
        if entry.data_offset:
            place = entry.data_offset, entry.size, entry.layer
        else:
            place = expanded, entry.size, layers
            expanded += entry.size
        file.write(_RECORD.pack(path_at, *place, path_size))
        path_at += path_size
    for entry in asked:
        file.write(path_bytes(entry.path))
    file.flush()
    return expanded > 0


@cache
def _native() -> Any:
    library: Any = native_library("enclavize_data_index_write")
    if library is None:
        return None
    write = library.enclavize_data_index_write
    write.argtypes = (ctypes.POINTER(TreeParts), ctypes.c_int32, ctypes.POINTER(ctypes.c_uint64))
    return write
