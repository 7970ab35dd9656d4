"""The EROFS writer: what it writes depends on the tree alone."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import InvalidImageError
from enclavize.rootfs import erofs
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import Rootfs
from enclavize.rootfs.verity import tree_size, verity_of
from support.images import directory, file, hard_link, whiteout
from support.indexing import index_layers
from support.sample_tree import INLINE, SampleTree, pattern, sample

if TYPE_CHECKING:
    from pathlib import Path

ROOT_NID = 36


def written(folder: Path, rootfs: Rootfs) -> tuple[bytes, bytes]:
    """Return both files."""
    image, verity = folder / "rootfs.erofs", folder / "rootfs.verity"
    result = erofs.write_erofs(rootfs, image, verity, inline=INLINE)
    assert (result.size, result.verity_size) == (image.stat().st_size, verity.stat().st_size)
    return image.read_bytes(), verity.read_bytes()


def test_the_order_of_entries_leaves_no_trace(tmp_path: Path) -> None:
    rootfs = sample().rootfs()
    entries = list(rootfs.entries)
    random.Random(1).shuffle(entries)
    assert written(tmp_path, rootfs) == written(tmp_path, Rootfs(entries, merkle_reader=rootfs.merkle))


def test_layers_leave_no_trace(tmp_path: Path) -> None:
    big = pattern(10_000)
    one = [
        directory("d", mtime=5), file("d/a", big), hard_link("d/b", "d/a"), file("d/c", pattern(70)),
        file("e", "2"), directory("", mtime=7),
    ]  # fmt: skip
    many = [
        [
            directory("", 0o700),
            directory("d", 0o700, mtime=9),
            file("d/b", big),
            file("e", "1"),
            file("gone", big),
        ],
        [hard_link("d/a", "d/b"), file("d/c", pattern(70)), whiteout("gone")],
        [file("e", "2"), directory("d", mtime=5), directory("", mtime=7)],
    ]
    first = index_layers(tmp_path / "one", [one], "gzip")
    second = index_layers(tmp_path / "many", many, "zstd")
    assert written(tmp_path, first) == written(tmp_path, second)


def test_the_digest_and_the_tree_are_those_of_the_image(tmp_path: Path) -> None:
    image, verity = written(tmp_path, sample().rootfs())
    digest, tree = verity_of(image)
    assert verity[: len(tree)] == tree
    result = erofs.write_erofs(sample().rootfs(), tmp_path / "e", tmp_path / "v", inline=INLINE)
    assert result.digest == digest


def test_equal_files_share_one_tree(tmp_path: Path) -> None:
    tree = SampleTree()
    for name in "abc":
        tree.regular(name, pattern(9000))
    tree.regular("d", pattern(9000, 1))
    image, verity = written(tmp_path, tree.rootfs())
    assert len(verity) == tree_size(len(image)) + 2 * tree_size(9000)


def test_a_missing_root_is_plain(tmp_path: Path) -> None:
    image, _ = written(tmp_path, Rootfs([], merkle_reader=lambda _: b""))
    assert len(image) == 4096
    mode, size, mtime, links = struct.unpack_from("<4xH2xQ16xq4xI", image, ROOT_NID * 32)
    assert (mode, size, mtime, links) == (0o40755, 27, 0, 2)


def test_a_root_that_does_not_fit_the_first_block_moves_to_the_second(tmp_path: Path) -> None:
    root = Entry(path="", type=FileType.DIRECTORY, mode=0o755, xattrs={"user.long": bytes(3500)})
    image, _ = written(tmp_path, Rootfs([root], merkle_reader=lambda _: b""))
    assert struct.unpack_from("<H", image, 1024 + 14) == (128,)


def test_names_of_ours_in_the_image_are_left_out(tmp_path: Path) -> None:
    tree = SampleTree()
    tree.regular(
        "x",
        pattern(100),
        xattrs={"trusted.overlay.metacopy": b"forged", "trusted.enclavize.x": b"", "odd": b"1"},
    )
    image, _ = written(tmp_path, tree.rootfs())
    assert b"forged" not in image
    assert image.count(b"overlay.metacopy") == 1
    assert b"enclavize.x" not in image


def test_a_file_that_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    tree = SampleTree()
    tree.regular("x", pattern(100))
    big = replace(tree.entries[0], size=erofs.MAX_FILE_SIZE + 1)
    with pytest.raises(InvalidImageError, match="/x has more than"):
        written(tmp_path, Rootfs([big], merkle_reader=lambda _: b""))
