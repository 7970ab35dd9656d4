"""The native writer of the measured tree writes what its reference writes, byte for byte."""

from __future__ import annotations

import io
import tarfile
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.rootfs import erofs, native_merge
from enclavize.rootfs.accelerator import PORTABLE_LIBRARY
from enclavize.rootfs.native_merge import MergedTree
from support.images import Member, directory, file, hard_link, symlink, whiteout
from support.indexing import index_layers
from support.programs import need_native
from support.sample_tree import INLINE, pattern
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rootfs.tree import Rootfs

XATTRS = (
    "user.a", "user.b", "user.", "system.posix_acl_access", "system.posix_acl_access.x", "trusted.x",
    "system.posix_acl_default", "security.capability", "trusted.overlay.metacopy", "other.x", "trusted.z",
)  # fmt: skip
SIZES = (0, 1, 64, 65, 4095, 4096, 4097, 20_000, 524_289)
LETTERS = "!-.abcé\udcff"
"""Before and behind the dots of a directory, and the slash."""


@pytest.fixture(autouse=True)
def native() -> None:
    """Skip all where there is nothing to compare."""
    need_native(PORTABLE_LIBRARY)
    assert native_merge.is_available()


def check(rootfs: Rootfs, folder: Path) -> None:
    """Write a tree with both."""
    assert isinstance(rootfs.entries, MergedTree)
    image, verity = folder / "erofs", folder / "verity"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erofs, "_write", lambda *_: pytest.fail("the reference was asked"))
        found = erofs.write_erofs(rootfs, image, verity, inline=INLINE)
    reference = io.BytesIO(), io.BytesIO()
    wanted = erofs._write(rootfs, erofs._named_contents(rootfs, INLINE), *reference)
    assert found == wanted
    assert image.read_bytes() == reference[0].getvalue()
    assert verity.read_bytes() == reference[1].getvalue()


def random_member(random: Random, number: int) -> Member:
    """Return a member with anything that the format can hold."""

    def name() -> str:
        return "".join(random.choices(LETTERS, k=random.choice((1, 2, 3, 60)))).replace(".", "x.")

    path = "/".join(name() for _ in range(random.randrange(1, 4))) + f"_{number}"
    pax = {
        f"SCHILY.xattr.{key}": "v" * random.choice((0, 1, 5, 500, 5000))
        for key in random.sample(XATTRS, random.choice((0, 0, 0, 1, 3)))
        if key != "user."
    }
    more: dict[str, Any] = {
        "uid": random.randrange(1 << 17),
        "gid": random.randrange(9),
        "mtime": random.randrange(1 << 33),
    }
    match random.randrange(7):
        case 0:
            return directory(path, random.randrange(1 << 12), pax=pax, **more)
        case 1:
            return symlink(path, "t" * random.choice((1, 64, 4000)), pax=pax, **more)
        case 2:
            kind = random.choice((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE))
            device = (
                (0, 0) if kind == tarfile.FIFOTYPE else (random.randrange(4096), random.randrange(1 << 20))
            )
            return Member(path=path, type=kind, device=device, **more)
        case _:
            content = pattern(random.choice(SIZES), random.randrange(3))
            return file(path, content, random.randrange(1 << 12), pax=pax, **more)


def test_random_trees(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    for number in range(scaled(400)):
        random = Random(seed + number)
        members = [random_member(random, at) for at in range(random.randrange(1, 60))]
        for target in random.sample(members, len(members) // 5):
            if target.type == tarfile.REGTYPE and not target.pax:
                link = random.choice(("", "z/")) + f"link{len(members)}"
                members.append(hard_link(link, target.path, mode=target.mode, uid=target.uid, gid=target.gid))
        top = [whiteout(members[0].path)] if random.random() < 0.5 else [directory(f"top{number}")]
        folder = tmp_path / f"{number}"
        check(index_layers(folder, [members, top]), folder)


def test_large_directories_and_named_files(tmp_path: Path) -> None:
    members = [
        *(file(f"many/{'n' * (number % 200)}{number}", b"x" * number) for number in range(900)),
        *(directory(f"root-entry-{number}") for number in range(200)),
        file("etc/hosts", "127.0.0.1 h\n" * 500),
        symlink("etc/resolv.conf", "../run/resolv"),
        file("run/resolv", "nameserver ::1\n" * 20),
        hard_link("run/other", "run/resolv", mode=0o644),
        file("etc/hostname", pattern(70_000)),
    ]
    check(index_layers(tmp_path, [members]), tmp_path)


def test_an_empty_tree_and_a_small_one(tmp_path: Path) -> None:
    check(index_layers(tmp_path / "a", [[directory(".", 0o700)]]), tmp_path)
    check(index_layers(tmp_path / "b", [[file("x", b"")]]), tmp_path)
