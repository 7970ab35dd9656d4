"""The entries of a tree, where all of them are there as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.names import sort_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator


class ListedTree(Sequence[Entry]):
    """Holds every path once, sorted by bytes; there is a root."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_path = {entry.path: entry for entry in entries}
        self._by_path.setdefault("", Entry(path="", type=FileType.DIRECTORY, mode=0o755))
        self._entries = tuple(sorted(self._by_path.values(), key=lambda entry: sort_key(entry.path)))
        self._children: dict[str, list[Entry]] = {}
        for entry in self._entries[1:]:
            self._children.setdefault(entry.path.rpartition("/")[0], []).append(entry)

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        return self._entries[index]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def get(self, path: str) -> Entry | None:
        """Return the entry of a path."""
        return self._by_path.get(path)

    def children(self, path: str) -> Iterator[Entry]:
        """Yield the entries of a directory in order."""
        return iter(self._children.get(path, ()))

    def changed(self, made: Iterable[Entry], left_out: Collection[str]) -> ListedTree:
        """Return a tree with entries more, and entries less."""
        return ListedTree((*(entry for entry in self._entries if entry.path not in left_out), *made))

    def of_layers(self, layers: Collection[int]) -> Iterator[Entry]:
        """Yield the entries that some layers brought."""
        return (entry for entry in self._entries if entry.layer in layers)

    def of_types(self, types: Collection[FileType]) -> Iterator[Entry]:
        """Yield the entries of some types."""
        return (entry for entry in self._entries if entry.type in types)

    def below(self, folders: Collection[str]) -> Iterator[Entry]:
        """Yield the entries at or below one of the folders."""
        prefixes = tuple(f"{folder}/" for folder in folders)
        return (entry for entry in self._entries if f"{entry.path}/".startswith(prefixes))

    def elf_files(self) -> Iterator[Entry]:
        """Yield the entries with ELF facts."""
        return (entry for entry in self._entries if entry.elf is not None)
