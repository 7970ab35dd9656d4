"""Layers over layers. Many more cases are compared with umoci in tests/integration/rootfs/test_umoci.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import InvalidImageError
from enclavize.rootfs.entry import FileType
from support.images import build_layer, directory, file, hard_link, opaque, symlink, tar_of, whiteout
from support.indexing import index_layers
from support.odd_tars import header, padded, pax_record

if TYPE_CHECKING:
    from pathlib import Path

    from support.images import Member

CASES: dict[str, tuple[list[list[Member]], dict[str, str]]] = {
    "a whiteout hides what is below": (
        [[file("a/x", "1"), file("a/y", "2")], [whiteout("a/x")]],
        {"a/y": "2"},
    ),
    "a whiteout hides a directory": (
        [[file("a/b/x", "1"), file("a/y", "2")], [whiteout("a/b")]],
        {"a/y": "2"},
    ),
    "a whiteout before its own file": ([[file("x", "1")], [whiteout("x"), file("x", "2")]], {"x": "2"}),
    "opaque before its own files": ([[file("d/x", "1")], [opaque("d"), file("d/y", "2")]], {"d/y": "2"}),
    "opaque behind its own files": (
        [
            [file("d/x", "1"), file("d/e/x", "1")],
            [
                directory("d"),
                file("d/y", "2"),
                directory("d/e"),
                file("d/e/y", "3"),
                hard_link("d/h", "d/x"),
                opaque("d"),
            ],
        ],
        {"d/y": "2", "d/e/y": "3", "d/h": "1"},
    ),
    "opaque behind its own folder": (
        [[file("d/e/x", "1")], [directory("d/e"), opaque("d"), file("d/z", "2")]],
        {"d/z": "2"},
    ),
    "opaque at the root behind a file": ([[file("x")], [file("y", "1"), opaque("")]], {"y": "1"}),
    "opaque goes deep": ([[file("d/e/x", "1")], [opaque("d"), file("d/e/y", "2")]], {"d/e/y": "2"}),
    "a whiteout below a new file": ([[file("d/x", "1")], [file("d", "2"), whiteout("d/x")]], {"d": "2"}),
    "the last of two wins": ([[file("x", "1"), file("x", "2")]], {"x": "2"}),
    "a file in place of a directory": ([[file("d/x", "1")], [file("d", "2")]], {"d": "2"}),
    "a directory in place of a file": ([[file("d", "1")], [directory("d"), file("d/x", "2")]], {"d/x": "2"}),
    "through a symbolic link": ([[directory("t"), symlink("l", "/t")], [file("l/x", "1")]], {"t/x": "1"}),
    "through one that points out": ([[symlink("l", "../../t")], [file("l/x", "1")]], {"t/x": "1"}),
    "a link keeps what is replaced": (
        [[file("x", "1"), hard_link("y", "x")], [file("x", "2")]],
        {"x": "2", "y": "1"},
    ),
    "a link to a lower layer": ([[file("x", "1")], [hard_link("y", "x"), whiteout("x")]], {"y": "1"}),
}


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
def test_regular_files(tmp_path: Path, name: str) -> None:
    layers, expected = CASES[name]
    found = index_layers(tmp_path, layers).entries
    assert {
        entry.path: (entry.content or b"").decode() for entry in found if entry.type is FileType.REGULAR
    } == expected


REFUSED: dict[str, tuple[list[list[Member]], str]] = {
    "a whiteout after its own file": (
        [[file("x", "1")], [file("x", "2"), whiteout("x")]],
        "/x is brought and hidden by one layer",
    ),
    "a whiteout after a file inside": (
        [[file("d/x", "1")], [file("d/y", "2"), whiteout("d")]],
        "/d is brought and hidden by one layer",
    ),
    "opaque after a file in a folder without a header": (
        [[file("d/x", "1")], [file("d/e/y", "2"), opaque("d")]],
        "/d is made opaque behind /d/e, in which its layer has something, and which it does not list",
    ),
    "opaque after a file in a folder from below": (
        [[directory("d"), directory("d/e")], [directory("d"), file("d/e/y", "2"), opaque("d")]],
        "/d is made opaque behind /d/e, in which",
    ),
    "opaque after a file that came through a link": (
        [[directory("d"), symlink("l", "d")], [file("l/y", "2"), opaque("d")]],
        "/d is made opaque behind /d/y, in which",
    ),
    "opaque through a link": (
        [[file("d/x"), symlink("l", "d")], [opaque("l")]],
        "/l is made opaque through a symbolic link",
    ),
    "a whiteout behind a dangling link": (
        [[symlink("l", "t")], [whiteout("l/x")]],
        "/l/x is a whiteout behind a link to nothing",
    ),
    "opaque behind a dangling link": (
        [[symlink("l", "t")], [opaque("l/x")]],
        "/l/x is a whiteout behind a link to nothing",
    ),
    "a file of AUFS": ([[file(".wh..wh.plnk/1.2")]], "/.wh..wh.plnk/1.2 is a file of AUFS"),
    "a mode that a hard link changes": (
        [[file("x", mode=0o755), hard_link("y", "x", mode=0o4755)]],
        "/y is a hard link to /x with another mode",
    ),
    "an owner that a hard link changes": ([[file("x")], [hard_link("y", "x", uid=1)]], "another mode, owner"),
    "an xattr that a hard link brings": (
        [[file("x"), hard_link("y", "x", pax={"SCHILY.xattr.user.note": "v"})]],
        "owner or xattrs",
    ),
}


def test_whiteouts_in_missing_directories_make_them_as_engines_do(tmp_path: Path) -> None:
    rootfs = index_layers(tmp_path, [[file("x")], [whiteout("a/b/y"), opaque("c/d")]])
    assert [entry.path for entry in rootfs.entries] == ["", "a", "a/b", "c", "c/d", "x"]


def global_header(name: str) -> bytes:
    """Return one like that of ``git archive``."""
    data = pax_record(b"comment", b"1" * 40)
    return header(name.encode(), b"g", len(data)) + padded(data)


def test_global_headers_are_no_files_but_make_room_for_one(tmp_path: Path) -> None:
    upper = [global_header(name) for name in ("pax_global_header", "a/file", "no/file", "folder")]
    lower = [file("a/file"), file("b"), file("folder/x"), file("pax_global_header")]
    rootfs = index_layers(tmp_path, [lower, build_layer(b"".join(upper) + tar_of([file("c")]))])
    assert [entry.path for entry in rootfs.entries] == ["", "a", "b", "c", "no"]


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: name.replace(" ", "-"))
def test_what_engines_unpack_differently_is_refused(tmp_path: Path, name: str) -> None:
    layers, message = REFUSED[name]
    with pytest.raises(InvalidImageError, match=re.escape(message)):
        index_layers(tmp_path, layers)


def test_a_directory_takes_its_last_metadata_and_keeps_its_files(tmp_path: Path) -> None:
    layers = [[directory("d", 0o700, uid=1), file("d/x")], [directory("d", 0o711, uid=2)], [file("d/y")]]
    rootfs = index_layers(tmp_path, layers)
    found = rootfs.resolve("d")
    assert (found.mode, found.uid, found.layer) == (0o711, 2, 1)
    assert [child.path for child in rootfs.children("d")] == ["d/x", "d/y"]


def test_missing_directories_are_plain(tmp_path: Path) -> None:
    found = index_layers(tmp_path, [[file("a/b/x", uid=5, mtime=7)]]).resolve("a/b")
    assert (found.mode, found.uid, found.gid, found.mtime, found.layer) == (0o755, 0, 0, 0, -1)


def test_hard_links_share_one_data_path_that_exists(tmp_path: Path) -> None:
    layers = [[file("b", "1"), hard_link("a", "b"), hard_link("c", "b")], [whiteout("a")]]
    rootfs = index_layers(tmp_path, layers)
    assert rootfs.hard_links() == {"b": ("b", "c")}
    assert [entry.data_path for entry in rootfs.entries[1:]] == ["b", "b"]
