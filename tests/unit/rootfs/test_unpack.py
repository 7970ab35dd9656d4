"""Unpacking: exactly the merged tree, nothing dangerous, nothing outside, whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.progress import Reporter
from enclavize.rootfs.beneath import Beneath, open_beneath
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.index import index_image
from enclavize.rootfs.unpack import unpack_layers
from support.images import Member, directory, file, hard_link, opaque, symlink, whiteout
from support.indexing import cache_of, image_of
from support.sample_tree import pattern

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.image import Image

LAYERS = [
    [
        directory("bin", 0o500), file("bin/sh", pattern(100_000), 0o6755),
        hard_link("bin/ash", "bin/sh", mode=0o6755),
        file("secret", "s", 0o000), file("gone", "g"), directory("o"), file("o/1", "1"),
        symlink("lib", "usr/lib"), symlink("escape", "/etc"), directory("tmp", 0o1777),
        file("tmp/all", "a", 0o666),
        Member(path="null", type=b"3", device=(1, 3)), Member(path="pipe", type=b"6"),
    ],
    [
        whiteout("gone"), opaque("o"), file("o/2", "2"), file("lib/libc.so", "elf"), file("secret", "new"),
        hard_link("link", "lib"), file("s\udcff", "x"),
    ],
]  # fmt: skip


def unpack(image: Image, folder: Path) -> Path:
    """Unpack and return where."""
    destination = folder / "unpacked" / "rootfs"
    unpack_layers(image, destination, cache=cache_of(folder), reporter=Reporter())
    return destination


def leftovers(folder: Path) -> list[str]:
    """Return what is beside the root file system, but for locks."""
    return [
        path.name
        for path in (folder / "unpacked").iterdir()
        if path.suffix != ".lock" and path.name != "rootfs"
    ]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_the_merged_tree_is_on_disk(tmp_path: Path, compression: object) -> None:
    image = image_of(tmp_path, LAYERS, compression)  # type: ignore[arg-type] # a literal type
    root = unpack(image, tmp_path)
    rootfs = index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    devices = {"null", "pipe"}
    assert found == {entry.path for entry in rootfs.entries[1:]} - devices
    assert (root / "bin" / "sh").read_bytes() == pattern(100_000)
    assert (root / "bin" / "sh").samefile(root / "bin" / "ash")
    assert (root / "secret").read_text() == "new"
    assert (root / "usr" / "lib" / "libc.so").read_text() == "elf"
    assert str((root / "link").readlink()) == "usr/lib"
    for entry in rootfs.entries[1:]:
        if entry.path not in devices and entry.type is not FileType.SYMLINK:
            mode = (root / entry.path).lstat().st_mode
            assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
            assert mode & 0o600 == 0o600
            assert mode & 0o077 == entry.mode & 0o077, "whatever the umask"
            assert (root / entry.path).lstat().st_uid == os.geteuid()
    assert leftovers(tmp_path) == []


def test_what_is_there_is_not_unpacked_again(tmp_path: Path) -> None:
    image = image_of(tmp_path, LAYERS)
    (unpack(image, tmp_path) / "mark").touch()
    assert (unpack(image, tmp_path) / "mark").exists()


def test_threads_unpack_once(tmp_path: Path) -> None:
    image = image_of(tmp_path, LAYERS)
    inodes: set[int] = set()
    threads = [
        threading.Thread(target=lambda: inodes.add((unpack(image, tmp_path) / "secret").stat().st_ino))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inodes) == 1
    assert leftovers(tmp_path) == []


def test_a_damaged_layer_leaves_nothing(tmp_path: Path) -> None:
    image = image_of(tmp_path, LAYERS)
    index_image(image, cache=cache_of(tmp_path), reporter=Reporter())
    blob = tmp_path / "layout" / "blobs" / "sha256" / image.layers[0].digest[7:]
    data = bytearray(blob.read_bytes())
    data[50_000] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError):
        unpack(image, tmp_path)
    assert [path.name for path in (tmp_path / "unpacked").iterdir()] == ["rootfs.lock"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "unpacked" / ".rootfs-abandoned"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "file").touch()
    unpack(image_of(tmp_path, LAYERS), tmp_path)
    assert not left.exists()


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "symlink", full)
    with pytest.raises(EnclavizeError, match="No space left on device") as caught:
        unpack(image_of(tmp_path, LAYERS), tmp_path)
    assert caught.value.hint
    assert leftovers(tmp_path) == []


def test_nothing_leaves_the_directory(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "in").mkdir()
    (root / "inner").symlink_to("in")
    with Beneath(root) as beneath:
        for path in (b"link/x", b"inner/x", b"../outside/x", b"/etc/x"):
            with pytest.raises(OSError, match="Errno"):
                os.close(beneath.create(path, 0o600))
            with pytest.raises(OSError, match="Errno"):
                beneath.directory(path, 0o700)
        with pytest.raises(FileExistsError):
            beneath.create(b"link", 0o600)
    assert list(outside.iterdir()) == []
    descriptor = os.open(root, os.O_RDONLY)
    with pytest.raises(OSError, match="Errno"):
        open_beneath(descriptor, b"/proc/self/root", os.O_RDONLY)
    os.close(descriptor)
