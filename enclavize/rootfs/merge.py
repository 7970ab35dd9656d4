"""Apply layers to a tree, as container engines unpack them one over the other.

Rules, where the image specification leaves room, are those of container engines: a path goes through symbolic
links that stand in place of its directories, but stays inside the root; missing directories are made. Where
docker, containerd, podman and umoci differ, a layer is refused: nobody could tell what is in its image.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.rootfs.entry import IMPLIED_MODE, NAME_MAX, PATH_MAX, Entry, FileType
from enclavize.rootfs.names import path_bytes, printable
from enclavize.rootfs.records import GlobalHeader, HardLink, OpaqueWhiteout, Whiteout
from enclavize.rootfs.tree import MAX_SYMLINKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from enclavize.rootfs.records import Record

FREE_LINK_NAMES = 1 << 18
LINK_NAMES_PER_MEMBER = 32
"""Names in targets of symbolic links that all members together may lead through, as parts of their paths."""

MAX_IMPLIED = 1_000_000
"""Directories of one image that no layer lists."""

MAX_PATHS_SIZE = 512 << 20
"""Characters of all paths of one image. Links make long ones of short names."""

_LEADS_ON = frozenset({FileType.DIRECTORY, FileType.SYMLINK})
"""Types through which paths go."""


class _Node:
    """A place in the tree. Hard links share the entry object, whose path is that of the archive member."""

    __slots__ = ("children", "entry", "layer", "link", "parent")

    def __init__(self, entry: Entry, parent: _Node | None, layer: int, link: HardLink | None = None) -> None:
        self.entry = entry
        self.link = link
        self.parent = parent or self
        self.children: dict[str, _Node] = {}
        self.layer = layer
        """The last layer that brought this node or something below it."""


def _implied(parent: _Node | None, layer: int) -> _Node:
    return _Node(Entry(path="", type=FileType.DIRECTORY, mode=IMPLIED_MODE), parent, layer)


def merge_layers(layers: Iterable[Collection[Record]], names: Sequence[str]) -> list[Entry]:
    """Return the entries of the merged tree, in no order. ``names`` call the layers in errors.

    Raises InvalidImageError for what no engine could unpack.
    """
    root, bounds = _implied(None, -1), _Bounds()
    for number, (records, name) in enumerate(zip(layers, names, strict=True)):
        _Merge(root, number, name, bounds).apply(records)
    return _flatten(root)


class _Bounds:
    """What is left of the work and the memory that one image may take beyond its members."""

    def __init__(self) -> None:
        self.link_names = FREE_LINK_NAMES
        self.implied = MAX_IMPLIED


class _Merge:
    """One layer on its way into the tree."""

    def __init__(self, root: _Node, number: int, name: str, bounds: _Bounds) -> None:
        self._root = root
        self._number = number
        self._name = name
        self._bounds = bounds
        self._folders: dict[str, _Node] = {}
        """Paths that lead through nothing but directories and links, while none of these is replaced."""

    def apply(self, records: Collection[Record]) -> None:
        """Apply all records in order."""
        self._bounds.link_names += LINK_NAMES_PER_MEMBER * len(records)
        for record in records:
            match record:
                case Entry(path=""):
                    self._root.entry = record
                case Entry():
                    self._put(record)
                case HardLink():
                    self._link(record)
                case Whiteout(path=path):
                    folder, _, base = path.rpartition("/")
                    self._hide(folder, base, path)
                case OpaqueWhiteout(path=path):
                    self._hide_all(path)
                case GlobalHeader(path=path):
                    folder, _, base = path.rpartition("/")
                    self._remove(self._made_directory(folder, path), base)

    def _put(self, entry: Entry) -> None:
        folder, _, base = entry.path.rpartition("/")
        where = self._folders.get(folder) or self._made_directory(folder, entry.path)
        old = where.children.get(base)
        if old is not None and entry.type is FileType.DIRECTORY is old.entry.type:
            old.entry = entry
            self._touch(old)
        else:
            if old is not None:
                self._remove(where, base)
            self._add(where, base, _Node(entry, where, -1))

    def _link(self, link: HardLink) -> None:
        folder, _, base = link.path.rpartition("/")
        where = self._made_directory(folder, link.path)
        self._remove(where, base)  # goes first, and may take the target with it
        target_folder, _, target_base = link.target.rpartition("/")
        target_where, missing = self._find(target_folder)
        target = None if missing else target_where.children.get(target_base)
        if not base or target is None:
            raise self._error(link.path, f"is a hard link to /{printable(link.target)}, which does not exist")
        if target.entry.type is FileType.DIRECTORY:
            raise self._error(link.path, f"is a hard link to the directory /{printable(link.target)}")
        if not _says_the_same(link, target.entry):
            raise self._error(
                link.path,
                f"is a hard link to /{printable(link.target)} with another mode, owner or xattrs: "
                "engines differ on which count",
            )
        self._add(where, base, _Node(target.entry, where, -1, link))

    def _add(self, where: _Node, base: str, node: _Node) -> None:
        where.children[base] = node
        self._touch(node)

    def _remove(self, where: _Node, base: str) -> None:
        old = where.children.pop(base, None)
        if old is not None and old.entry.type in _LEADS_ON:
            self._folders.clear()

    def _touch(self, node: _Node) -> None:
        """Mark a node and what is above it as belonging to this layer."""
        while node.layer != self._number:
            node.layer = self._number
            node = node.parent

    def _hide(self, folder: str, base: str, whiteout: str) -> None:
        """Remove what lower layers have under one name.

        What its own layer brought before is removed by docker, containerd and podman, but not by umoci; on
        overlay2 docker fails. Sources: moby and containers/storage, pkg/archive/diff.go, UnpackLayer;
        containerd, archive/tar.go, applyNaive; umoci, oci/layer/tar_extract.go, UnpackEntry.
        """
        where = self._hiding_place(folder, whiteout)
        hidden = where.children.get(base) if where is not None else None
        if where is None or hidden is None:
            return
        if hidden.layer == self._number:
            raise self._error(whiteout, "is brought and hidden by one layer: engines differ on what counts")
        self._remove(where, base)

    def _hide_all(self, folder: str) -> None:
        """Remove what lower layers have in a directory.

        All engines keep what has a header in this layer, wherever it stands. They differ on what came in
        folders without one, and on names that lead through symbolic links. Sources: as above; docker goes
        by the names in the archive, containerd by where they lead.
        """
        top = self._hiding_place(folder, folder)
        if top is None:
            return
        if top is not self._literal(folder):
            raise self._error(
                folder, "is made opaque through a symbolic link: engines differ on what that is"
            )
        pending = [(top, f"{folder}/" if folder else "")]
        while pending:
            where, prefix = pending.pop()
            kept = {name: node for name, node in where.children.items() if node.layer == self._number}
            for name, node in kept.items():
                if not self._has_header(node, prefix + name):
                    raise self._error(
                        folder,
                        f"is made opaque behind /{printable(prefix + name)}, in which its layer has "
                        "something, and which it does not list: engines differ on what counts",
                    )
                pending.append((node, f"{prefix}{name}/"))
            where.children = kept
        self._folders.clear()

    def _hiding_place(self, folder: str, whiteout: str) -> _Node | None:
        """Return the directory of a whiteout, which engines make (umoci does not); None: nothing is there."""
        where, missing = self._find(folder)
        if missing and missing[0] in where.children:
            return None  # umoci writes such whiteouts where a directory has become a file
        if missing:
            names = folder.split("/")
            there = len(names) - len(missing)
            if names[there:] != missing or self._literal("/".join(names[:there])) is not where:
                raise self._error(whiteout, "is a whiteout behind a link to nothing: engines differ on it")
            where = self._made_directory(folder, whiteout)
        return where

    def _has_header(self, node: _Node, path: str) -> bool:
        """Tell whether a node is what this layer brought by just this name."""
        if node.link is not None:
            return node.link.path == path
        return node.entry.layer == self._number and node.entry.path == path

    def _literal(self, path: str) -> _Node | None:
        """Find a directory without following links."""
        where: _Node | None = self._root
        for name in path.split("/") if path else ():
            where = where.children.get(name) if where is not None else None
        return where

    def _made_directory(self, path: str, wanted: str) -> _Node:
        """Find a directory, and make what is missing of it."""
        where, missing = self._find(path)
        if missing and missing[0] in where.children:
            raise self._error(wanted, "has a parent that is no directory")
        for name in missing:
            if len(path_bytes(name)) > NAME_MAX:
                raise self._error(path, f"goes through a name of more than {NAME_MAX} bytes")
            self._bounds.implied -= 1
            if self._bounds.implied < 0:
                raise self._error(path, f"is one of more than {MAX_IMPLIED} directories that no layer lists")
            where.children[name] = where = _implied(where, -1)
            self._touch(where)
        return where

    def _find(self, path: str) -> tuple[_Node, list[str]]:
        """Follow a path through symbolic links as far as there are directories; return what is left of it.

        What follows a name that is no directory is taken by its letters: ``missing/..`` leads back.
        """
        known = self._folders.get(path)
        if known is not None:
            return known, []
        where = self._root
        missing: list[str] = []
        is_real = True
        pending = path.split("/")[::-1] if path else []
        links = 0
        while pending:
            name = pending.pop()
            node = None if missing else where.children.get(name)
            if name in {"", "."}:
                continue
            if name == "..":
                if missing:
                    missing.pop()
                else:
                    where = where.parent
            elif node is not None and node.entry.type is FileType.DIRECTORY:
                where = node
            elif node is not None and node.entry.type is FileType.SYMLINK:
                links += 1
                target = node.entry.link_target
                names = target.split("/")
                self._bounds.link_names -= len(names)
                if links > MAX_SYMLINKS or self._bounds.link_names < 0:
                    raise self._error(path, "goes through too many symbolic links, or too long ones")
                if target.startswith("/"):
                    where = self._root
                pending.extend(reversed(names))
            else:
                missing.append(name)
                is_real = False
        if is_real:
            self._folders[path] = where
        return where, missing

    def _error(self, path: str, problem: str) -> InvalidImageError:
        return InvalidImageError(f"{self._name}: /{printable(path)} {problem}")


def _says_the_same(link: HardLink, entry: Entry) -> bool:
    """Whether a hard link gives the file what it has; symbolic links have no mode of their own."""
    if link.xattrs and link.xattrs != entry.xattrs:
        return False
    if entry.type is not FileType.SYMLINK and link.mode != entry.mode:
        return False
    return (link.uid, link.gid) == (entry.uid, entry.gid)


def _walk(root: _Node) -> Iterator[tuple[str, Entry]]:
    """Yield all paths with their entries."""
    pending = [("", root)]
    left = MAX_PATHS_SIZE
    while pending:
        path, node = pending.pop()
        if len(path) > PATH_MAX or len(path_bytes(path)) > PATH_MAX:
            raise InvalidImageError(
                f"the layers together make a path of more than {PATH_MAX} bytes: /{printable(path)}"
            )
        yield path, node.entry
        prefix = f"{path}/" if path else ""
        left -= len(prefix) * len(node.children)
        if left < 0:
            raise InvalidImageError(
                f"the layers together make paths of more than {MAX_PATHS_SIZE} characters in all"
            )
        pending.extend((prefix + name, child) for name, child in node.children.items())


def _flatten(root: _Node) -> list[Entry]:
    """Give every entry its path, and hard links their common data path."""
    found = list(_walk(root))
    first: dict[int, str] = {}
    for path, entry in found:
        if entry.type is not FileType.DIRECTORY:
            known = first.setdefault(id(entry), path)
            if path_bytes(path) < path_bytes(known):
                first[id(entry)] = path
    return [_placed(entry, path, first.get(id(entry), path)) for path, entry in found]


def _placed(entry: Entry, path: str, data_path: str) -> Entry:
    if entry.path == path and entry.data_path == data_path:
        return entry
    return replace(entry, path=path, data_path=data_path)
