"""A small tree that has one of everything, made by hand, for readers of the format.

``python tests/support/sample_tree.py DIRECTORY`` writes rootfs.erofs, rootfs.verity, and root/ with the data.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.erofs import write_erofs
from enclavize.rootfs.names import path_bytes
from enclavize.rootfs.tree import Rootfs
from enclavize.rootfs.verity import verity_of

if TYPE_CHECKING:
    from enclavize.rootfs.erofs_image import ErofsImage

INLINE = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf"})
BIG = 3 << 20
NET_BIND = bytes.fromhex("0100000200040000" + "00" * 12)
"""struct vfs_cap_data, version 2: cap_net_bind_service+ep."""

LIST = bytes.fromhex(
    "02000000 01000600ffffffff 02000400e8030000 02000000e9030000"
    "04000400ffffffff 10000600ffffffff 20000400ffffffff"
)
"""posix_acl_xattr: user::rw, user:1000:r, user:1001:-, group::r, mask::rw, other::r."""


@lru_cache(maxsize=32)
def pattern(size: int, seed: int = 0) -> bytes:
    """Return bytes that differ from block to block and are the same in every run."""
    words = (hashlib.sha256(f"{seed}:{at}".encode()).digest() for at in range(-(-size // 32)))
    return b"".join(words)[:size]


class SampleTree:
    """Collects entries and the content of regular files."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.content: dict[str, bytes] = {}
        self._trees: dict[bytes, bytes] = {}

    def directory(
        self,
        path: str,
        mode: int = 0o755,
        uid: int = 0,
        mtime: int = 0,
        xattrs: dict[str, bytes] | None = None,
    ) -> None:
        """Add a directory."""
        self.entries.append(
            Entry(
                path=path, type=FileType.DIRECTORY, mode=mode, uid=uid, gid=uid, mtime=mtime,
                xattrs=xattrs or {},
            )
        )  # fmt: skip

    def regular(
        self,
        path: str,
        content: bytes,
        mode: int = 0o644,
        xattrs: dict[str, bytes] | None = None,
        mtime: int = 0,
    ) -> None:
        """Add a regular file."""
        verity, tree = verity_of(content)
        self._trees[verity] = tree
        self.content[path] = content
        self.entries.append(
            Entry(
                path=path, type=FileType.REGULAR, mode=mode, mtime=mtime, size=len(content), data_path=path,
                sha256=hashlib.sha256(content).digest(), verity=verity, xattrs=xattrs or {}, content=content,
            )
        )  # fmt: skip

    def hard_link(self, path: str, target: str) -> None:
        """Add a second path of a file; ``target`` has to sort before it."""
        first = next(entry for entry in self.entries if entry.path == target)
        self.entries.append(replace(first, path=path))
        self.content[path] = self.content[target]

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        size = len(path_bytes(target))
        self.entries.append(
            Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target, size=size, data_path=path)
        )

    def special(self, path: str, kind: FileType, rdev: tuple[int, int] = (0, 0)) -> None:
        """Add a device or a FIFO."""
        self.entries.append(Entry(path=path, type=kind, mode=0o620, rdev=rdev, gid=5, data_path=path))

    def rootfs(self) -> Rootfs:
        """Return the tree."""
        return Rootfs(self.entries, merkle_reader=lambda entry: self._trees[entry.verity])


def sample() -> SampleTree:
    """Return a tree with files around every limit of the format."""
    tree = SampleTree()
    for path in ("bin", "dev", "etc", "many", "sizes", "deep", "deep/er"):
        tree.directory(path, mtime=1_700_000_000)
    tree.directory("tmp", mode=0o1777, uid=70_000, mtime=-5)
    for size in (0, 1, 64, 65, 4095, 4096, 4097, 8192, 524_288, 524_289, BIG + 5):
        tree.regular(f"sizes/{size}", pattern(size), mtime=size)
    tree.regular("bin/busybox", pattern(300_000, 1), mode=0o4755)
    tree.hard_link("bin/sh", "bin/busybox")
    tree.regular("bin/twin", pattern(300_000, 1), mode=0o755)
    tree.regular("etc/hosts", b"127.0.0.1 localhost\n" * 300)
    tree.regular("etc/hostname", b"sample\n" * 20)
    tree.regular("etc/capable", pattern(100), xattrs={"user.note": b"hello", "security.capability": NET_BIND})
    tree.regular("etc/long-xattr", pattern(100), xattrs={"user.long": pattern(10_000)})
    tree.regular(
        "etc/listed", pattern(100), mode=0o664, xattrs={"system.posix_acl_access": LIST, "user.note": b"l"}
    )
    tree.directory("listed", mode=0o777, xattrs={"system.posix_acl_default": LIST})
    tree.directory("listed/badly", mode=0o777, xattrs={"system.posix_acl_access": LIST[:-8]})
    tree.symlink("lib", "usr/lib")
    tree.symlink("etc/long", "/".join(["x" * 99] * 40))
    tree.symlink("etc/longest", "y" * 4095)
    tree.special("dev/null", FileType.CHARACTER_DEVICE, (1, 3))
    tree.special("dev/disk", FileType.BLOCK_DEVICE, (300, 70_000))
    tree.special("dev/pipe", FileType.FIFO)
    tree.regular("deep/er/not-utf8-\udcff\udc80", pattern(70))
    tree.regular("deep/er/\U0001f40e", pattern(5000, 2))
    for number in range(400):
        tree.regular(f"many/{'n' * (number % 240)}{number}", b"%d" % number)
        tree.directory(f"many/-{number}")
    return tree


def write_sample(directory: Path) -> ErofsImage:
    """Write both files, and the data of the files that the host serves."""
    tree = sample()
    for path, content in tree.content.items():
        place = Path(os.fsdecode(os.fsencode(directory / "root") + b"/" + path_bytes(path)))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return write_erofs(tree.rootfs(), directory / "rootfs.erofs", directory / "rootfs.verity", inline=INLINE)


if __name__ == "__main__":
    image = write_sample(Path(sys.argv[1]))
    print(f"{image.size} bytes, fs-verity digest {image.digest.hex()}")
