"""Other people's tools read what we write: the kernel, erofs-utils and fsverity-utils."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.rootfs.entry import STAT_TYPE, FileType
from enclavize.rootfs.erofs import write_erofs
from enclavize.rootfs.names import path_bytes
from enclavize.rootfs.verity import tree_size, verity_of
from support.images import directory, file, hard_link, opaque, symlink
from support.indexing import index_layers
from support.sample_tree import INLINE, pattern, sample, write_sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.rootfs.erofs_image import ErofsImage
    from enclavize.rootfs.tree import Rootfs

pytestmark = pytest.mark.integration

needs_erofs_utils = pytest.mark.skipif(
    shutil.which("fsck.erofs") is None, reason="erofs-utils is not installed"
)
needs_fsverity = pytest.mark.skipif(shutil.which("fsverity") is None, reason="fsverity is not installed")


def fsverity_digest(path: Path) -> str:
    """Return what ``fsverity digest`` prints."""
    done = subprocess.run(["fsverity", "digest", path], check=True, capture_output=True, text=True)
    return done.stdout.split()[0].removeprefix("sha256:")


@needs_fsverity
@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 524_288, 524_289, 1_000_000])
def test_fsverity_agrees_on_files(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(pattern(size))
    assert verity_of(pattern(size))[0].hex() == fsverity_digest(path)


@needs_fsverity
def test_fsverity_agrees_on_the_image(tmp_path: Path) -> None:
    assert write_sample(tmp_path).digest.hex() == fsverity_digest(tmp_path / "rootfs.erofs")


@needs_erofs_utils
def test_fsck_finds_no_fault(tmp_path: Path) -> None:
    write_sample(tmp_path)
    done = subprocess.run(
        ["fsck.erofs", tmp_path / "rootfs.erofs"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    damaged = bytearray((tmp_path / "rootfs.erofs").read_bytes())
    damaged[36 * 32] ^= 0x0F
    (tmp_path / "damaged").write_bytes(damaged)
    done = subprocess.run(["fsck.erofs", tmp_path / "damaged"], check=False, capture_output=True, text=True)
    assert done.returncode != 0


@needs_erofs_utils
def test_dump_reads_the_superblock(tmp_path: Path) -> None:
    write_sample(tmp_path)
    done = subprocess.run(
        ["dump.erofs", "-s", tmp_path / "rootfs.erofs"], check=True, capture_output=True, text=True
    )
    assert re.search(r"Filesystem root nid:\s+36\b", done.stdout)
    assert re.search(r"created:\s+.*1970", done.stdout)


@contextmanager
def mounted(image: Path, where: Path) -> Iterator[Path]:
    """Mount an image by loop device, or skip."""
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "erofs", "-o", "ro,loop", image, where], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        if os.geteuid() != 0 or "erofs" not in Path("/proc/filesystems").read_text():
            pytest.skip(f"cannot mount EROFS here: {done.stderr.strip()}")
        pytest.fail(done.stderr)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


def write(rootfs: Rootfs, folder: Path) -> ErofsImage:
    """Write both files into a folder."""
    return write_erofs(rootfs, folder / "rootfs.erofs", folder / "rootfs.verity", inline=INLINE)


def assert_kernel_sees(rootfs: Rootfs, folder: Path, content: dict[str, bytes]) -> None:
    """Mount the image, and compare everything that the kernel tells about every path."""
    image = write(rootfs, folder)
    links = rootfs.hard_links()
    verity = (folder / "rootfs.verity").read_bytes()
    with mounted(folder / "rootfs.erofs", folder / "mnt") as root:
        found = set()
        for folder_path, names, files in os.walk(os.fsencode(root)):
            base = (folder_path + b"/")[len(os.fsencode(root)) + 1 :]
            found |= {base + name for name in names + files}
        assert found == {path_bytes(entry.path) for entry in rootfs.entries[1:]}
        for entry in rootfs.entries:
            path = os.fsencode(root) + b"/" + path_bytes(entry.path)
            status = os.lstat(path)
            assert status.st_mode == STAT_TYPE[entry.type] | entry.mode
            assert (status.st_uid, status.st_gid, status.st_mtime_ns) == (
                entry.uid, entry.gid, entry.mtime * 10**9,
            )  # fmt: skip
            folders = sum(child.type is FileType.DIRECTORY for child in rootfs.children(entry.path))
            is_directory = entry.type is FileType.DIRECTORY
            names_of = len(links.get(entry.data_path, "1"))
            assert status.st_nlink == (2 + folders if is_directory else names_of)
            where = os.fsdecode(path)
            xattrs = {
                name: os.getxattr(where, name, follow_symlinks=False)
                for name in os.listxattr(where, follow_symlinks=False)
            }
            match entry.type:
                case FileType.SYMLINK:
                    assert path_bytes(str(Path(where).readlink())) == path_bytes(entry.link_target)
                case FileType.CHARACTER_DEVICE | FileType.BLOCK_DEVICE:
                    assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == entry.rdev
                case FileType.REGULAR:
                    assert status.st_size == entry.size
                    data = Path(where).read_bytes()
                    metacopy = xattrs.pop("trusted.overlay.metacopy", None)
                    merkle = xattrs.pop("trusted.enclavize.merkle", None)
                    redirect = xattrs.pop("trusted.overlay.redirect", None)
                    if metacopy is None:
                        assert data == content[entry.path]
                        assert merkle is redirect is None
                    else:
                        assert data == bytes(entry.size)
                        assert metacopy == struct.pack("4B", 0, 36, 0, 1) + entry.verity
                        assert (redirect or b"/")[1:] == (
                            path_bytes(entry.data_path) if names_of > 1 else b""
                        )
                        assert (merkle is None) == (entry.size <= 4096)
                    if merkle is not None:
                        [offset] = struct.unpack("<Q", merkle)
                        size = tree_size(entry.size)
                        assert offset >= tree_size(image.size)
                        assert verity[offset : offset + size] == rootfs.merkle(entry)
                case _:
                    pass
            assert xattrs == dict(entry.xattrs)


def test_the_kernel_lists_the_sample(tmp_path: Path) -> None:
    tree = sample()
    assert_kernel_sees(tree.rootfs(), tmp_path, tree.content)


def test_the_kernel_lists_a_merged_image(tmp_path: Path) -> None:
    small = {f"many/{number:04}-{'n' * (number % 90)}": b"%d" % number for number in range(2000)}
    layers = [
        [directory("many", 0o1777), *(file(path, data) for path, data in small.items())],
        [
            file("x", pattern(9000)),
            hard_link("a/y", "x"),
            symlink("many/-", "x"),
            directory("o"),
            file("o/1", "1"),
        ],
        [opaque("o"), file("o/2", "2", mode=0o4711, uid=5), file("etc/hosts", "h" * 5000)],
    ]
    content = {**small, "o/2": b"2", "etc/hosts": b"h" * 5000}
    rootfs = index_layers(tmp_path, layers)
    assert_kernel_sees(rootfs, tmp_path, content)


@needs_fsverity
def test_fsverity_agrees_on_indexed_files(tmp_path: Path) -> None:
    contents = {f"f{size}": pattern(size) for size in (0, 100, 4096, 70_000, 2_000_000)}
    rootfs = index_layers(tmp_path, [[file(name, data) for name, data in contents.items()]], "gzip")
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        entry = rootfs.resolve(name)
        assert entry.verity.hex() == fsverity_digest(tmp_path / name)
        assert entry.sha256 == hashlib.sha256(data).digest()


def test_overlayfs_finds_the_data_as_in_composefs(tmp_path: Path) -> None:
    tree = sample()
    write_sample(tmp_path)
    with mounted(tmp_path / "rootfs.erofs", tmp_path / "mnt") as metadata:
        merged = tmp_path / "merged"
        merged.mkdir()
        options = f"ro,lowerdir={metadata}:{tmp_path / 'root'},metacopy=on,redirect_dir=follow"
        done = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, merged],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            pytest.skip(f"cannot mount overlayfs here: {done.stderr.strip()}")
        try:
            for path, content in tree.content.items():
                found = Path(os.fsdecode(os.fsencode(merged) + b"/" + path_bytes(path)))
                assert found.read_bytes() == content
        finally:
            subprocess.run(["umount", merged], check=True)
