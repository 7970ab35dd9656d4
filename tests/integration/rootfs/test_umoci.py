"""The merged tree is what umoci unpacks, for generated images full of conflicts between and inside layers."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from support.images import Member, directory, file, hard_link, opaque, symlink, whiteout
from support.indexing import index_layers
from support.scale import scaled
from support.trees import IMPLIED, tree_of, tree_on_disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can unpack owners"),
]

NAMES = ("a", "b", "c", "lib", "z\u00e9")


def umoci_unpack(folder: Path) -> Path:
    """Unpack the image of a layout as it is."""
    target = folder / "unpacked"
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{folder / 'layout'}:1", str(target)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return target


def assert_same_tree(folder: Path, layers: list[list[Member]]) -> None:
    """Index and unpack the same image, and compare."""
    started = int(time.time()) - 1
    ours = tree_of(index_layers(folder, layers))
    theirs = tree_on_disk(umoci_unpack(folder))
    same_time = {path for path, node in theirs.items() if node.mtime in range(started, started + 600)}
    # Directories that no layer lists, and some that umoci removes things from, get the current time.
    for path in [*same_time, *(path for path, node in ours.items() if node.mtime == IMPLIED)]:
        for tree in (ours, theirs):
            if path in tree:
                tree[path] = tree[path]._replace(mtime=IMPLIED)
    # Of a whiteout in a missing directory, engines make the directory, and umoci does not.
    made = {path for path, node in ours.items() if node.is_directory and node.mtime == IMPLIED}
    assert {path: node for path, node in ours.items() if path in theirs or path not in made} == theirs


@pytest.mark.parametrize(
    "layers",
    {
        "a whiteout hides a file of a lower layer": [[file("a/x"), file("a/y")], [whiteout("a/x")]],
        "a whiteout before its own file": [[file("x", "1")], [whiteout("x"), file("x", "2")]],
        "a whiteout below a new file": [[file("d/x")], [whiteout("d/x"), file("d")]],
        "an opaque directory hides": [[file("d/x"), file("d/e/y")], [directory("d", 0o700), opaque("d")]],
        "opaque before news": [[file("d/x"), file("d/e/y")], [opaque("d"), file("d/e/z"), file("d/x", "2")]],
        "whiteout through a symlink": [[file("d/x"), symlink("l", "d")], [whiteout("l/x")]],
        "whiteout of a symlink": [[file("d/x"), symlink("l", "d")], [whiteout("l")]],
        "a directory becomes a file": [[file("d/x")], [file("d", "now a file")]],
        "a file becomes a directory": [[file("d")], [directory("d"), file("d/x")]],
        "a symlink becomes a directory": [[directory("t"), symlink("d", "t")], [directory("d"), file("d/x")]],
        "through an absolute symlink": [[directory("t"), symlink("d", "/t")], [file("d/x")]],
        "through a symlink that points out": [[symlink("d", "../../t")], [file("d/x")]],
        "through a dangling symlink": [[symlink("d", "t/u")], [file("d/x")]],
        "twice in a layer": [[file("x", "1"), file("x", "2", mode=0o600)]],
        "a directory twice": [[directory("d", 0o700), file("d/x"), directory("d", 0o711)]],
        "no parents": [[file("a/b/c/d")]],
        "odd paths": [[file("./a/./x"), file("/b//y"), directory("./")]],
        "a hard link": [[file("x", "1"), hard_link("y", "x")]],
        "a hard link to a lower layer": [[file("x", "1")], [hard_link("d/y", "x")]],
        "a hard link that outlives": [[file("x", "1"), hard_link("y", "x")], [whiteout("x")]],
        "a hard link to what is replaced": [[file("x", "1"), hard_link("y", "x"), file("x", "2")]],
        "a hard link to a replaced lower file": [[file("x", "1"), hard_link("y", "x")], [file("x", "2")]],
        "a hard link through a symlink": [[file("d/x", "1"), symlink("l", "d"), hard_link("y", "l/x")]],
        "a hard link to a symlink": [[symlink("l", "nowhere"), hard_link("y", "l")]],
        "an absolute hard link": [[file("x", "1"), hard_link("y", "/x")]],
        "a hard link over a file": [[file("x", "1"), file("y", "2"), hard_link("y", "x")]],
        "devices": [
            [
                Member(path="null", type=b"3", device=(1, 3), mode=0o666),
                Member(path="disk", type=b"4", device=(8, 1)),
                Member(path="pipe", type=b"6", mode=0o622),
            ]
        ],
        "xattrs": [
            [file("x", pax={"SCHILY.xattr.user.note": "v"})],
            [directory("x"), file("y", mode=0o6755)],
        ],
    }.items(),
    ids=lambda item: item[0].replace(" ", "-"),
)
def test_one_rule(tmp_path: Path, layers: tuple[str, list[list[Member]]]) -> None:
    assert_same_tree(tmp_path, layers[1])


def random_layer(random_: random.Random, below: dict[str, Member]) -> list[Member]:
    """Return members that often meet each other and what is ``below``, whiteouts first as engines write them.

    Something is seldom put below a file, which nobody can unpack.
    """

    def known(kinds: str) -> str:
        return random_.choice([path for path, old in below.items() if kind_of(old) in kinds] or ["a"])

    def path() -> str:
        if random_.random() < 0.3:
            return known("dfl")
        folder = random_.choice(("", "a", "b/c", known("d"), known("dl")))
        return f"{folder}/{random_.choice(NAMES)}".lstrip("/")

    members: list[Member] = []
    hidden = [whiteout(known("dfl")) for _ in range(random_.choice((0, 0, 1, 2)))]
    hidden += [opaque(known("dl")) for _ in range(random_.choice((0, 0, 1)))]
    owners = {
        "uid": random_.randint(0, 70_000), "gid": random_.randint(0, 9),
        "mtime": random_.randint(0, 1_700_000_000),
    }  # fmt: skip
    for _ in range(random_.randint(1, 12)):
        where = path()
        match random_.randint(0, 8):
            case 0 | 1 | 2:
                data = random_.randbytes(random_.choice((0, 1, 64, 65, 5000)))
                members.append(file(where, data, mode=random_.choice((0o644, 0o4755, 0o600)), **owners))
            case 3 | 4 | 5 | 6:
                members.append(directory(where, mode=random_.choice((0o755, 0o1777, 0o700)), **owners))
            case 7:
                target = random_.choice(
                    [*NAMES, "/a/b", "../c", "a/../b", "/", "..", known("d"), known("dl")]
                )
                members.append(symlink(where, target, **owners))
            case _:
                target = known("f")
                old = below.get(target, file(target))
                members.append(hard_link(where, target, mode=old.mode, uid=old.uid, gid=old.gid))
        below[where] = members[-1]
    return hidden + members


def kind_of(member: Member) -> str:
    """Return "d", "l", or "f" for files and their hard links."""
    return {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l"}.get(member.type, "f")


def test_generated_images(tmp_path: Path) -> None:
    from enclavize.errors import InvalidImageError

    compared = refused = 0
    for seed in range(scaled(2000, least=60)):
        random_ = random.Random(seed)
        below: dict[str, Member] = {}
        layers = [random_layer(random_, below) for _ in range(random_.randint(1, 4))]
        folder = tmp_path / str(seed)
        try:
            assert_same_tree(folder, layers)
            compared += 1
        except InvalidImageError as error:
            # What we refuse (a parent that is a file, a link to nothing), umoci must refuse too.
            if "engines differ" not in str(error):
                with pytest.raises(subprocess.CalledProcessError):
                    umoci_unpack(folder)
            refused += 1
        shutil.rmtree(folder)
    assert compared >= refused // 4
