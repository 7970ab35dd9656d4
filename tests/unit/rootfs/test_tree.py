"""Path resolution inside the tree, and what the tree tells."""

from __future__ import annotations

import errno
import os

import pytest

from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable
from enclavize.rootfs.tree import Rootfs
from support.sample_tree import SampleTree


@pytest.fixture
def rootfs() -> Rootfs:
    tree = SampleTree()
    for path in ("usr", "usr/lib", "usr/bin", "home"):
        tree.directory(path)
    tree.regular("usr/bin/tool", b"x" * 10)
    tree.hard_link("usr/bin/twin", "usr/bin/tool")
    tree.symlink("bin", "usr/bin")
    tree.symlink("lib", "/usr/lib")
    tree.symlink("usr/lib/up", "../../..///bin/./tool")
    tree.symlink("dangling", "nowhere")
    tree.symlink("loop", "loop2")
    tree.symlink("loop2", "/loop")
    for number in range(45):
        tree.symlink(f"home/{number}", f"{number + 1}" if number < 44 else "/usr")
    return tree.rootfs()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ""), ("/", ""), ("..", ""), ("/../..", ""), ("bin", "usr/bin"), ("/bin/tool", "usr/bin/tool"),
        ("bin/../lib/up", "usr/bin/tool"), ("lib/up", "usr/bin/tool"), ("usr/", "usr"), ("home/5", "usr"),
        ("bin/", "usr/bin"),
    ],
)  # fmt: skip
def test_paths_lead_where_the_kernel_goes(rootfs: Rootfs, path: str, found: str) -> None:
    assert rootfs.resolve(path).path == found


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nothing", errno.ENOENT), ("dangling", errno.ENOENT), ("loop", errno.ELOOP), ("home/4", errno.ELOOP),
        ("bin/tool/", errno.ENOTDIR), ("bin/tool/x", errno.ENOTDIR), ("bin/tool/..", errno.ENOTDIR),
        ("x" * 5000, errno.ENAMETOOLONG),
    ],
)  # fmt: skip
def test_dead_ends_are_the_kernels(rootfs: Rootfs, path: str, code: int) -> None:
    with pytest.raises(OSError, match=f"Errno {code}\\b"):
        rootfs.resolve(path)
    assert rootfs.find(path) is None


def test_the_last_link_can_be_left_alone(rootfs: Rootfs) -> None:
    assert rootfs.resolve("lib", follow=False).type is FileType.SYMLINK
    assert rootfs.resolve("dangling", follow=False).link_target == "nowhere"
    assert rootfs.resolve("lib/", follow=False).path == "usr/lib"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ""), ("/", ""), ("/../..", ""), ("/./bin/", "usr/bin"), ("/bin/tool", "usr/bin/tool"),
        ("/lib/up", "usr/bin/tool"), ("/lib/new/folder", "usr/lib/new/folder"), ("/dangling", "nowhere"),
        ("/dangling/x", "nowhere/x"), ("/none/../bin/x", "usr/bin/x"), ("/bin/tool/x", "usr/bin/tool/x"),
    ],
)  # fmt: skip
def test_a_mount_goes_where_links_lead_whether_something_is_there_or_not(
    rootfs: Rootfs, path: str, found: str
) -> None:
    assert rootfs.destination(path) == found


@pytest.mark.parametrize("path", ["/loop", "/loop/x", "/home/0"])
def test_a_mount_goes_nowhere_in_a_circle(rootfs: Rootfs, path: str) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        rootfs.destination(path)


def test_hard_links_and_sizes(rootfs: Rootfs) -> None:
    assert rootfs.hard_links() == {"usr/bin/tool": ("usr/bin/tool", "usr/bin/twin")}
    assert rootfs.total_size == 10
    assert [entry.path for entry in rootfs.children("usr")] == ["usr/bin", "usr/lib"]


def test_an_empty_tree_has_a_root() -> None:
    rootfs = Rootfs([], merkle_reader=lambda _: b"")
    assert [(entry.path, entry.mode, entry.mtime) for entry in rootfs.entries] == [("", 0o755, 0)]


def test_entries_are_in_the_order_of_their_bytes() -> None:
    tree = SampleTree()
    for name in ("\U0001f40e", "\udcff", "\uffee", "a", "Z"):
        tree.directory(name)
    names = [entry.path for entry in tree.rootfs().entries]
    assert names == sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


def test_messages_show_no_control_characters() -> None:
    assert printable("a\x1b[31m\n\udcff\u00e9") == "a\\x1b[31m\\n\\udcff\u00e9"
