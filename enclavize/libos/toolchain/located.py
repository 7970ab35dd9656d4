"""What looking for one LibOS gave, before anything but names and ELF headers was read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from enclavize.libos.toolchain.tree import Found, Tree

_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){1,3}[0-9A-Za-z.+~-]{0,32}", re.ASCII)


@dataclass(kw_only=True)
class Located:
    """Files by canonical path, with the tree that each is in; see ``model.py`` for the paths.

    ``version_files`` say which version it is, as ``read_version`` reads them, unless ``version`` is known.
    """

    libos: str
    files: dict[str, tuple[Tree, Found]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    searched: dict[str, list[str]] = field(default_factory=dict)
    version: str = ""
    version_places: tuple[str, ...] = ()
    version_files: list[tuple[Tree, Found]] = field(default_factory=list)
    read_version: Callable[[str], str] = field(default=lambda _text: "")

    def take(self, path: str, tree: Tree, place: str, *, needed: bool = True) -> Found | None:
        """Look for one file; remember where, and that it is missing if it is ``needed``."""
        places = self.searched.setdefault(path.rpartition("/")[0], [])
        found = tree.find(place)
        if found is not None:
            self.files[path] = (tree, found)
        elif needed:
            self.missing.append(path)
        folder = tree.name + place.rpartition("/")[0]
        if folder not in places:
            places.append(folder)
        return found

    def take_all(self, folder: str, tree: Tree, place: str, pattern: re.Pattern[str]) -> None:
        """Take all files of a folder whose names match, as ``folder/NAME``. Links among them stay links."""
        self.searched.setdefault(folder, []).append(tree.name + place)
        names = [name for name in tree.names(place) if pattern.fullmatch(name)]
        for name in names:
            found = tree.find(f"{place}/{name}")
            if found is not None and f"{folder}/{name}" not in self.files:
                self.files[f"{folder}/{name}"] = (tree, found)
        self.find_links(folder, names)

    def find_links(self, folder: str, names: Sequence[str]) -> None:
        """Note which of the files in a folder are other names of one that has its own name there."""
        own = {
            self.files[f"{folder}/{name}"][1].path: name
            for name in names
            if f"{folder}/{name}" in self.files
            and self.files[f"{folder}/{name}"][1].path.rpartition("/")[2] == name
        }
        for name in names:
            path = f"{folder}/{name}"
            if path in self.files:
                target = own.get(self.files[path][1].path, name)
                if target != name:
                    self.links[path] = target


def expanded(tree: Tree, prefixes: Sequence[str]) -> Iterator[str]:
    """Yield prefixes with a slash behind; a ``*`` in the last place stands for every name there."""
    for prefix in prefixes:
        if prefix.endswith("/*"):
            yield from (f"{prefix[:-1]}{name}/" for name in tree.names(prefix[:-2]))
        else:
            yield f"{prefix}/" if prefix else ""


def checked_version(text: str, where: str) -> str:
    """Return a version. Raises UsageError if it is none."""
    if not _VERSION.fullmatch(text):
        raise UsageError(f"{where}: {text[:60]!r} is no version")
    return text
