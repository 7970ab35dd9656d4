"""A tree that runs share is after them what it was before."""

from pathlib import Path

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.mountpoints import missing, mountpoints, remove_left_over


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    (made / "data").mkdir(parents=True)
    (made / "link").symlink_to("data/deep")
    (made / "empty").touch()
    return made


def content(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))


def make(tree: Path, name: str) -> None:
    """Make a mountpoint for a file as runc does."""
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_what_is_missing_is_told_with_the_folders_above(tree: Path) -> None:
    assert missing(tree, ["/data", "/empty", "/models/a/b", "/link/x", "/models/a/c"]) == [
        "models", "models/a", "models/a/b", "data/deep", "data/deep/x", "models/a/c",
    ]  # fmt: skip


def test_mountpoints_go_with_the_run(tree: Path) -> None:
    before = content(tree)
    with mountpoints(tree, ["/models/m.bin", "/data", "/link/x"]):
        make(tree, "models/m.bin")
        make(tree, "data/deep/x")
    assert content(tree) == before


def test_they_go_where_the_run_fails(tree: Path) -> None:
    before = content(tree)
    with pytest.raises(EnclavizeError):
        _failing_run(tree)
    assert content(tree) == before


def test_they_stay_as_long_as_another_run_has_them(tree: Path) -> None:
    before = content(tree)
    with mountpoints(tree, ["/m"]):
        make(tree, "m")
        with mountpoints(tree, ["/m"]), mountpoints(tree, []):
            pass
        assert (tree / "m").exists()
    assert content(tree) == before


def test_the_first_run_may_end_before_the_second(tree: Path) -> None:
    before = content(tree)
    first, second = mountpoints(tree, ["/m"]), mountpoints(tree, ["/m"])
    with second:
        with first:
            make(tree, "m")
        assert (tree / "m").exists()
    assert content(tree) == before


def test_what_a_killed_run_leaves_goes_with_the_next(tree: Path) -> None:
    before = content(tree)
    (tree.parent / "tree.mountpoints").write_bytes(b"m\0new\0new/deep\0")
    make(tree, "m")
    (tree / "new/deep").mkdir(parents=True)
    with mountpoints(tree, []):
        assert content(tree) == before
    remove_left_over(tree)


def test_what_has_something_in_it_is_no_mere_mountpoint(tree: Path) -> None:
    with mountpoints(tree, ["/full", "/written"]):
        make(tree, "full/file")
        (tree / "written").write_text("text")
    assert {"full/file", "written"} <= set(content(tree))


def _failing_run(tree: Path) -> None:
    with mountpoints(tree, ["/m"]):
        make(tree, "m")
        raise EnclavizeError("the engine failed")
