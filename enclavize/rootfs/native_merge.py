"""The native form of merging layers (native/host/merge.zig), and the tree that comes of it.

What it does not understand is for merge.py, the reference. Entries are made when they are asked for.
"""

from __future__ import annotations

import ctypes
import struct
import weakref
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from enclavize.rootfs.accelerator import Pinned, native_library
from enclavize.rootfs.entry import IMPLIED_MODE, Entry, FileType
from enclavize.rootfs.names import path_bytes, path_text, sort_key
from enclavize.rootfs.records import Whiteout
from enclavize.rootfs.rows import LETTERS, ROW_SIZE, RowWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from enclavize.rootfs.rows import Rows

_NONE = 0xFFFF_FFFF

_PLACE = struct.Struct("<IIIIIIIHB?")
"""Layer and row (_NONE: a directory that no layer lists), where its path is, the place of the first path of
the same file, its parent, first entry and next sibling; how long its path is, its kind, whether it is an
ELF file."""
_KIND_AT, _IS_ELF_AT = 30, 31
_AFTER_SLASH = bytes([ord("/") + 1])


class _Place(NamedTuple):
    layer: int
    row: int
    path: int
    data: int
    parent: int
    child: int
    sibling: int
    path_size: int
    kind: int
    is_elf: bool


class _Layer(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("heap", ctypes.c_void_p),
        ("heap_size", ctypes.c_size_t),
        ("merkle", ctypes.c_void_p),
        ("merkle_size", ctypes.c_size_t),
        ("is_mapped", ctypes.c_uint64),
    )


class _Report(ctypes.Structure):
    _fields_ = (
        ("places", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("paths", ctypes.c_void_p),
        ("paths_size", ctypes.c_size_t),
    )


@cache
def _library() -> Any:
    library: Any = native_library("enclavize_merge")
    if library is None:
        return None
    library.enclavize_merge.argtypes = (
        ctypes.POINTER(_Layer),
        ctypes.c_size_t,
        ctypes.POINTER(_Report),
        ctypes.POINTER(ctypes.c_int),
    )
    library.enclavize_merge.restype = ctypes.c_void_p
    library.enclavize_merge_free.argtypes = (ctypes.c_void_p,)
    library.enclavize_merge_free.restype = None
    return library


def is_available() -> bool:
    """Tell whether the native part was built, and is for this CPU."""
    return _library() is not None


def merge_natively(layers: Sequence[Rows]) -> MergedTree | None:
    """Return the merged tree of layers; None where the reference has to do it, or to say why it cannot be."""
    library = _library()
    if library is None:
        return None
    with Pinned() as pinned:
        report, code = _Report(), ctypes.c_int()
        table = _layer_table(layers, pinned)
        tree = library.enclavize_merge(table, len(layers), ctypes.byref(report), ctypes.byref(code))
    if not tree:
        if code.value < 0:
            raise MemoryError
        return None
    merged = MergedTree(
        _memory(report.places, report.count * _PLACE.size), _memory(report.paths, report.paths_size), layers
    )
    weakref.finalize(merged, library.enclavize_merge_free, tree)
    return merged


def _memory(start: int | None, size: int) -> memoryview:
    """Return native memory as it lies there."""
    return memoryview((ctypes.c_uint8 * size).from_address(start) if start else b"").cast("B")


def _layer_table(layers: Sequence[Rows], pinned: Pinned) -> ctypes.Array[_Layer]:
    table = (_Layer * len(layers))()
    for slot, layer in zip(table, layers, strict=True):
        rows, heap, merkle = layer.parts
        slot.rows, slot.count = pinned.address(rows), len(rows) // ROW_SIZE
        slot.heap, slot.heap_size = pinned.address(heap), len(heap)
        slot.merkle, slot.merkle_size = pinned.address(merkle), len(merkle)
        slot.is_mapped = layer.is_mapped
    return table


class TreeParts(ctypes.Structure):
    """A merged tree for native code (``Tree`` in native/host/erofs_inode.zig)."""

    _fields_ = (
        ("layers", ctypes.POINTER(_Layer)),
        ("layer_count", ctypes.c_size_t),
        ("places", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("paths", ctypes.c_void_p),
        ("paths_size", ctypes.c_size_t),
    )


class MergedTree(Sequence[Entry]):
    """All entries in the order of their paths."""

    def __init__(self, places: memoryview, paths: memoryview, layers: Sequence[Rows]) -> None:
        self._places = places
        self._paths = paths
        self._layers = layers
        self._asked: dict[str, Entry | None] = {}

    def __len__(self) -> int:
        return len(self._places) // _PLACE.size

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return _Part(self, range(len(self))[index])
        return self._entry(range(len(self))[index])

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, range(len(self)))

    def get(self, path: str) -> Entry | None:
        """Return the entry of a path."""
        if path not in self._asked:
            found = self.place_of(path)
            self._asked[path] = None if found is None else self._entry(found)
        return self._asked[path]

    def place_of(self, path: str) -> int | None:
        """Return which entry has a path."""
        wanted = path_bytes(path)
        at = self._first_from(wanted)
        return at if at < len(self) and self._path(at) == wanted else None

    def _first_from(self, path: bytes) -> int:
        return bisect_left(range(len(self)), path, key=self._path)

    def parts(self, pinned: Pinned) -> TreeParts:
        """Return the tree for native code, as long as it is pinned."""
        return TreeParts(
            layers=_layer_table(self._layers, pinned),
            layer_count=len(self._layers),
            places=pinned.address(self._places),
            count=len(self),
            paths=pinned.address(self._paths),
            paths_size=len(self._paths),
        )

    def children(self, path: str) -> Iterator[Entry]:
        """Yield the entries of a directory in order."""
        found = self.place_of(path)
        child = _NONE if found is None else self._place(found).child
        while child != _NONE:
            yield self._entry(child)
            child = self._place(child).sibling

    def changed(self, made: Iterable[Entry], left_out: Collection[str]) -> MergedTree | None:
        """Return a tree with entries more, in directories that are there, and entries less.

        They count as of no layer. None: there are entries below one that is left out, which stay.
        """
        writer = RowWriter()
        for entry in made:
            writer.add(replace(entry, member=0))
        added = len(writer.layer(-1))
        for path in sorted(left_out, key=sort_key, reverse=True):
            writer.add(Whiteout(path=path))
        tree = merge_natively([*self._layers, writer.layer(-1)])
        return tree if tree is not None and len(tree) == len(self) + added - len(left_out) else None

    def of_layers(self, layers: Collection[int]) -> Iterator[Entry]:
        """Yield the entries that some layers brought."""
        numbers = struct.iter_unpack(f"<I{_PLACE.size - 4}x", self._places)
        return (self._entry(at) for at, (number,) in enumerate(numbers) if number in layers)

    def of_types(self, types: Collection[FileType]) -> Iterator[Entry]:
        """Yield the entries of some types."""
        letters = {LETTERS[kind][0] for kind in types}
        kinds = self._places[_KIND_AT :: _PLACE.size]
        return (self._entry(at) for at, kind in enumerate(kinds) if kind in letters)

    def below(self, folders: Collection[str]) -> Iterator[Entry]:
        """Yield the entries at or below one of the folders."""
        found: set[int] = set()
        for folder in folders:
            top, prefix = self.place_of(folder), path_bytes(folder)
            found.update(() if top is None else (top,))
            found.update(range(self._first_from(prefix + b"/"), self._first_from(prefix + _AFTER_SLASH)))
        return map(self._entry, sorted(found))

    def elf_files(self) -> Iterator[Entry]:
        """Yield the entries with ELF facts."""
        marks = self._places[_IS_ELF_AT :: _PLACE.size]
        return (self._entry(at) for at, mark in enumerate(marks) if mark)

    def _place(self, index: int) -> _Place:
        return _Place._make(_PLACE.unpack_from(self._places, index * _PLACE.size))

    def _path(self, index: int) -> bytes:
        place = self._place(index)
        return bytes(self._paths[place.path : place.path + place.path_size])

    def _entry(self, index: int) -> Entry:
        place = self._place(index)
        path = path_text(bytes(self._paths[place.path : place.path + place.path_size]))
        data_path = path if place.data == index else path_text(self._path(place.data))
        if place.layer == _NONE:
            return Entry(path=path, type=FileType.DIRECTORY, mode=IMPLIED_MODE, data_path=path)
        return self._layers[place.layer].entry(place.row, path, data_path)


class _Part(Sequence[Entry]):
    """Some of the entries of a tree."""

    def __init__(self, tree: MergedTree, indexes: range) -> None:
        self._tree = tree
        self._indexes = indexes

    def __len__(self) -> int:
        return len(self._indexes)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return _Part(self._tree, self._indexes[index])
        return self._tree[self._indexes[index]]
