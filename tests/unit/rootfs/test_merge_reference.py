"""Merging remembers what it knows between members, and is done in native code: neither changes a result."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import InvalidImageError
from enclavize.rootfs import merge, native_merge
from enclavize.rootfs.accelerator import PORTABLE_LIBRARY
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.listed_tree import ListedTree
from enclavize.rootfs.records import HardLink, OpaqueWhiteout, Whiteout
from enclavize.rootfs.rows import Rows, RowWriter
from enclavize.rootfs.tree import MAX_SYMLINKS
from support.programs import need_native
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from enclavize.rootfs.records import Record
    from enclavize.rootfs.rows import Rows


class PlainMerge(merge._Merge):
    """Follows each path anew."""

    def _find(self, path: str) -> tuple[merge._Node, list[str]]:
        where, missing = self._root, list[str]()
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
                if links > MAX_SYMLINKS:
                    raise self._error(path, "goes through too many symbolic links, or too long ones")
                target = node.entry.link_target
                if target.startswith("/"):
                    where = self._root
                pending.extend(target.split("/")[::-1])
            else:
                missing.append(name)
        return where, missing


def entry(path: str, kind: FileType, target: str = "x") -> Entry:
    is_link = kind is FileType.SYMLINK
    is_file = kind is FileType.REGULAR
    return Entry(
        path=path,
        type=kind,
        mode=0o755,
        link_target=target if is_link else "",
        data_path=path,
        sha256=bytes(32) if is_file else b"",
        verity=bytes(32) if is_file else b"",
        member=0,
    )


def hard_link(path: str, target: str) -> HardLink:
    return HardLink(path=path, target=target, mode=0o755, uid=0, gid=0, xattrs={})


def random_layers(rng: random.Random) -> list[list[Record]]:
    """Few names, so that they meet."""

    def path() -> str:
        return "/".join(rng.choices("abc", k=rng.randrange(1, 5)))

    def target() -> str:
        return "/".join(rng.choices(("a", "b", "c", "..", ".", "", "gone"), k=rng.randrange(1, 6))) or "."

    def record() -> Record:
        match rng.randrange(10):
            case 0 | 1 | 2:
                return entry(path(), FileType.DIRECTORY)
            case 3 | 4 | 5:
                return entry(path(), FileType.SYMLINK, target())
            case 6 | 7:
                return entry(path(), FileType.REGULAR)
            case 8:
                return hard_link(path(), path())
            case _:
                return rng.choice((Whiteout, OpaqueWhiteout))(path=path())

    return [[record() for _ in range(rng.randrange(14))] for _ in range(rng.randrange(1, 4))]


def merged(layers: Sequence[Collection[Record]]) -> list[Entry] | str:
    try:
        found = merge.merge_layers(layers, [f"layer {number}" for number, _ in enumerate(layers)])
    except InvalidImageError as error:
        return str(error)
    return sorted(found, key=lambda item: item.path)


def test_remembered_folders_change_no_result() -> None:
    for seed in range(scaled(200_000)):
        layers = random_layers(random.Random(seed))
        found = merged(layers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(merge, "_Merge", PlainMerge)
            assert merged(layers) == found, f"seed {seed}"


def rows_of(layers: Sequence[Sequence[Record]]) -> list[Rows]:
    """Return the layers as the index keeps them."""
    result = []
    for number, records in enumerate(layers):
        writer = RowWriter()
        for record in records:
            writer.add(record)
        result.append(writer.layer(number))
    return result


def check_native(layers: Sequence[Sequence[Record]], what: object) -> bool:
    """Compare with the reference, and return whether native code merged the layers."""
    rows = rows_of(layers)
    reference = merged(rows)
    tree = native_merge.merge_natively(rows)
    if tree is None:
        return False
    entries = list(tree)
    assert entries == reference, what
    listed = ListedTree(entries)
    assert len(tree) == len(listed)
    for entry in entries:
        assert tree.get(entry.path) == entry
        assert tree.get(entry.path + "x") == listed.get(entry.path + "x")
        assert list(tree.children(entry.path)) == list(listed.children(entry.path))
    for folders in (["a"], ["b/c", "b"], ["gone"], ["c", "a/b"]):
        assert list(tree.below(folders)) == list(listed.below(folders))
    assert list(tree.of_layers({0, 2})) == list(listed.of_layers({0, 2}))
    made = [Entry(path=f"new{end}", type=FileType.DIRECTORY, mode=0o755) for end in ("", "/x")]
    for left_out in [{item.path for item in listed.below(["a"])}, set[str]()]:
        changed = tree.changed(made, left_out)
        assert changed is not None
        expected = [(item.path, item.layer, item.type) for item in listed.changed(made, left_out)]
        assert [(item.path, item.layer, item.type) for item in changed] == expected
    if tree.get("a/b"):
        assert tree.changed((), {"a"}) is None
    assert list(tree.of_types({FileType.SYMLINK})) == list(listed.of_types({FileType.SYMLINK}))
    return True


def test_native_merging_is_that_of_the_reference() -> None:
    need_native(PORTABLE_LIBRARY)
    assert native_merge.is_available()
    counts: Counter[tuple[bool, bool]] = Counter()
    for seed in range(scaled(50_000)):
        layers = random_layers(random.Random(seed))
        is_refused = isinstance(merged(rows_of(layers)), str)
        counts[check_native(layers, f"seed {seed}"), is_refused] += 1
    # What the reference refuses is left to it; nothing else is.
    assert counts.keys() == {(True, False), (False, True)}
    assert counts[True, False] > counts.total() // 20


STALE: dict[str, list[Record]] = {
    "a link that is replaced by another": [
        entry("a", FileType.DIRECTORY), entry("b", FileType.DIRECTORY), entry("c", FileType.SYMLINK, "a"),
        entry("c/x", FileType.REGULAR), entry("c", FileType.SYMLINK, "b"), entry("c/x", FileType.REGULAR),
    ],
    "a directory that becomes a link": [
        entry("a/b", FileType.DIRECTORY), entry("c", FileType.SYMLINK, "a/b"), entry("c/x", FileType.REGULAR),
        entry("a/b", FileType.SYMLINK, "/b"), entry("c/x", FileType.REGULAR),
    ],
    "a parent that becomes a file": [
        entry("a/b", FileType.DIRECTORY), entry("a/b/x", FileType.REGULAR), entry("a", FileType.REGULAR),
        entry("a/b/x", FileType.REGULAR),
    ],
    "a link that becomes a hard link of another": [
        entry("a", FileType.DIRECTORY), entry("c", FileType.SYMLINK, "a"), entry("c/x", FileType.REGULAR),
        entry("b", FileType.SYMLINK, "a/x/.."), hard_link("c", "b"), entry("c/y", FileType.REGULAR),
    ],
    "a name in a target that was not there": [
        entry("b", FileType.DIRECTORY), entry("a", FileType.SYMLINK, "gone/../b"),
        entry("a/x", FileType.REGULAR), entry("c/d", FileType.DIRECTORY),
        entry("gone", FileType.SYMLINK, "c/d"), entry("c/b", FileType.DIRECTORY),
        entry("a/y", FileType.REGULAR),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", STALE, ids=lambda name: name.replace(" ", "-"))
def test_a_change_of_the_tree_is_not_overlooked(name: str) -> None:
    found = merged([STALE[name]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "_Merge", PlainMerge)
        assert merged([STALE[name]]) == found
    is_merged = check_native([STALE[name]], name)
    assert is_merged == (native_merge.is_available() and not isinstance(found, str))


LONG = "d/../" * 800
"""The target of a link that takes 1600 steps."""


def chain(members: int, kind: FileType) -> list[Record]:
    """A folder behind 39 such links, and members of it."""
    links = [entry(f"s{number}", FileType.SYMLINK, f"{LONG}s{number + 1}") for number in range(38)]
    last = entry("s38", FileType.SYMLINK, f"{LONG}d")
    found = [entry("d", FileType.DIRECTORY), *links, last]
    return [*found, *(entry(f"s0/{number}", kind, "d") for number in range(members))]


@pytest.mark.parametrize("kind", [FileType.REGULAR, FileType.DIRECTORY, FileType.SYMLINK])
def test_many_members_behind_long_links_are_merged(kind: FileType) -> None:
    found = merged([chain(3000, kind)])
    assert not isinstance(found, str)
    assert sum(item.path.startswith("d/") for item in found) == 3000


def test_who_makes_all_links_be_followed_anew_is_refused() -> None:
    records = chain(0, FileType.REGULAR)
    for number in range(1000):
        records += [entry("t", FileType.SYMLINK, str(number)), entry(f"s0/{number}", FileType.REGULAR)]
    found = merged([records])
    assert isinstance(found, str)
    assert "goes through too many symbolic links, or too long ones" in found


def test_directories_that_nobody_lists_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "MAX_IMPLIED", 1000)
    deep = "/x" * 300
    few = merged([[entry(f"{number}{deep}", FileType.REGULAR) for number in range(3)]])
    assert not isinstance(few, str)
    many = merged([[entry(f"{number}{deep}", FileType.REGULAR)] for number in range(4)])
    assert isinstance(many, str)
    assert "more than 1000 directories that no layer lists" in many


def test_short_names_that_links_make_long_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "d" + "/d" * 1000
    records = [entry(deep, FileType.DIRECTORY), entry("s", FileType.SYMLINK, deep)]
    records += [entry(f"s/{number}", FileType.REGULAR) for number in range(1000)]
    assert not isinstance(merged([records]), str)
    monkeypatch.setattr(merge, "MAX_PATHS_SIZE", 2_900_000)
    found = merged([records])
    assert isinstance(found, str)
    assert "paths of more than 2900000 characters in all" in found
