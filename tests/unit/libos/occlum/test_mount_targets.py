"""Targets of mounts are folders of the root file system."""

from __future__ import annotations

from typing import Any

import pytest

from enclavize.libos.occlum.configuration import check_configuration
from enclavize.libos.occlum.mount_targets import target_problems
from enclavize.libos.occlum.tree_builder import TreeBuilder, data_file, link
from enclavize.libos.occlum.versions import parse_release
from unit.libos.occlum.documents import document


def problems(tree: TreeBuilder, *mounts: dict[str, Any], version: str = "0.31.0") -> list[str]:
    made = document(version)
    made["mount"][1:] = mounts
    return list(target_problems(tree, check_configuration(made, parse_release(version))))


def tree(*folders: bytes) -> TreeBuilder:
    made = TreeBuilder()
    for folder in (b"proc", b"dev", *folders):
        made.directory(folder)
    return made


@pytest.mark.parametrize("kind", ["ramfs", "sefs", "hostfs"])
def test_a_target_that_is_missing_is_told(kind: str) -> None:
    mount = {"type": kind, "target": "/new/dir", "source": "./run/x"}
    assert problems(tree(b"new/dir"), mount) == []
    for made in (tree(), tree(b"new")):
        assert "mounted at /new/dir, which is no folder" in problems(made, mount)[0]


def test_links_are_followed_and_files_are_no_folders() -> None:
    made = tree(b"usr/share")
    made.put(b"to-folder", link(b"usr/share"))
    made.put(b"to-nothing", link(b"/nowhere"))
    made.put(b"file", data_file(b""))
    assert problems(made, {"type": "ramfs", "target": "/to-folder/"}) == []
    for target in ("/to-nothing", "/file", "/file/below"):
        assert len(problems(made, {"type": "ramfs", "target": target})) == 1


def test_proc_and_dev_are_mounted_by_themselves_since_0_29_6() -> None:
    assert len(problems(TreeBuilder(), version="0.29.6")) == 2
    assert problems(TreeBuilder(), version="0.29.5") == []


def test_what_is_below_another_mount_is_not_looked_for() -> None:
    mounts = ({"type": "hostfs", "target": "/host", "source": "."}, {"type": "ramfs", "target": "/host/in"})
    assert problems(tree(b"host"), *mounts) == []


def test_an_ext2_needs_its_program() -> None:
    mount = {"type": "ext2", "target": "/disk", "options": {"disk_size": "5GB"}}
    made = tree(b"disk", b"usr/sbin")
    assert "an ext2 needs /sbin/mke2fs" in problems(made, mount)[0]
    made.put(b"sbin", link(b"usr/sbin"))
    made.put(b"usr/sbin/mke2fs", data_file(b"", 0o755))
    assert problems(made, mount) == []
