"""Converted trees: whole or not there, bounded, and never what a container has."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, UsageError
from enclavize.node.trees import MANY_NOTES, Trees
from enclavize.rune.written import written_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1 << 10


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    found = Trees(tmp_path / "cache", 100 * KIB)
    yield found
    found.close()


def _make(trees: Trees, key: str, *, size: int = 40 * KIB, used: int = 0) -> Path:
    with trees.make(key, {"key": key}) as folder:
        (folder / ".enclave").mkdir()
        (folder / ".enclave" / "file").write_bytes(os.urandom(size))
    tree = trees.find(key)
    assert tree
    os.utime(tree / "conversion.json", (used, used))
    return tree


def _bundle(folder: Path, tree: Path | str = "") -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"mounts": [{"source": f"{tree}/.enclave"}]}))
    return str(folder)


def test_a_tree_is_there_whole_or_not_at_all(trees: Trees) -> None:
    assert trees.find("a") is None
    with suppress(EnclavizeError), trees.make("a", {}) as folder:
        (folder / "half").write_text("")
        raise EnclavizeError("the disk is full")
    assert trees.find("a") is None
    assert list((trees.root / "trees").iterdir()) == []
    tree = _make(trees, "a")
    assert [item.statement() for item in trees.all()] == [{"key": "a"}]
    assert (tree / ".enclave" / "file").stat().st_size == 40 * KIB


def test_the_least_recently_used_goes_first(trees: Trees) -> None:
    for number, key in enumerate("abc"):
        _make(trees, key, used=1000 + number)
    os.utime(trees.root / "trees" / "a" / "conversion.json", (2000, 2000))
    trees.trim()
    assert [tree.key for tree in trees.all()] == ["c", "a"]


def test_what_a_container_has_stays(trees: Trees, tmp_path: Path) -> None:
    for number, key in enumerate("abc"):
        _make(trees, key, used=1000 + number)
    bundle = tmp_path / "bundle"
    trees.note_user("a", _bundle(bundle, trees.root / "trees" / "a"))
    trees.trim()
    assert [tree.key for tree in trees.all()] == ["a", "c"]
    held = trees.all()[0]
    assert held.users == (str(bundle),)
    assert not trees.remove(held)
    (bundle / "config.json").unlink()
    assert trees.all()[0].users == ()
    assert trees.remove(trees.all()[0])


def test_a_container_that_has_just_asked_is_waited_for(trees: Trees, tmp_path: Path) -> None:
    tree = _make(trees, "a")
    trees.note_user("a", _bundle(tmp_path / "bundle"))
    assert trees.all()[0].users
    (note,) = (tree / "users").iterdir()
    os.utime(note, (1000, 1000))
    assert not trees.all()[0].users
    assert not list((tree / "users").iterdir())


def test_what_a_container_has_written_goes_with_it(trees: Trees, tmp_path: Path) -> None:
    tree = _make(trees, "a")
    first, second = tmp_path / "first", tmp_path / "second"
    trees.note_user("a", _bundle(first, tree))
    list(written_mounts(tree, first, ()))
    (note,) = (tree / "users").glob("*.written")
    (note / "file").write_text("")
    assert trees.all()[0].users == (str(first),)
    list(written_mounts(tree, first, ()))  # each start begins with nothing
    assert list(note.iterdir()) == []
    (first / "config.json").unlink()
    trees.note_user("a", _bundle(second, tree))
    assert not note.exists()
    assert trees.all()[0].users == (str(second),)


def test_notes_about_containers_do_not_pile_up(trees: Trees, tmp_path: Path) -> None:
    tree = _make(trees, "a")
    for number in range(MANY_NOTES + 20):
        trees.note_user("a", str(tmp_path / f"gone-{number}"))
    trees.note_user("a", _bundle(tmp_path / "bundle", tree))
    assert len(list((tree / "users").iterdir())) <= MANY_NOTES
    assert trees.all()[0].users == (str(tmp_path / "bundle"),)


def test_overlays_are_not_mounted_by_names_that_mean_something_else(tmp_path: Path) -> None:
    for name in ("a,b", "a:b", "a\\b"):
        with pytest.raises(EnclavizeError, match="overlays cannot be mounted"):
            list(written_mounts(tmp_path / name, tmp_path, ("run",)))


def test_the_last_one_stays_whatever_its_size(trees: Trees) -> None:
    _make(trees, "a", size=200 * KIB)
    trees.trim()
    assert [tree.key for tree in trees.all()] == ["a"]


def test_a_folder_has_one_daemon(trees: Trees) -> None:
    with pytest.raises(UsageError, match="another daemon has"):
        Trees(trees.root, 0)


def test_what_a_killed_daemon_left_goes(tmp_path: Path) -> None:
    first = Trees(tmp_path, 0)
    (tmp_path / "trees" / ".new-x").mkdir()
    (tmp_path / "trees" / ".gone-y").mkdir()
    _make(first, "a")
    first.close()
    second = Trees(tmp_path, 0)
    assert [path.name for path in (tmp_path / "trees").iterdir()] == ["a"]
    second.close()
