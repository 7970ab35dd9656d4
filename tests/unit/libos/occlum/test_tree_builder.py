"""Trees that are changed before they are packed, and Occlum's C libraries laid over them."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IncompatibleImageError, UsageError
from enclavize.libos.occlum.initfs import init_tree
from enclavize.libos.occlum.libraries import CLibrary, lay_over, provided_by, wanted_by, with_library_path
from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.libos.occlum.sefs.tree import walk
from enclavize.libos.occlum.tree_builder import TreeBuilder, data_file, link
from enclavize.libos.toolchain import Toolchain, ToolchainFile

if TYPE_CHECKING:
    from enclavize.libos.occlum.sefs.tree import TreeNode


def toolchain(*paths: str) -> Toolchain:
    """Return a toolchain whose files hold their own paths."""
    files = {
        path: ToolchainFile(
            path=path, mode=0o755, size=len(path), sha256="", open=partial(io.BytesIO, path.encode())
        )
        for path in paths
    }
    return Toolchain(libos="occlum", version="0.31.0", origin="here", files=files)


GLIBC = toolchain("glibc/ld-linux-x86-64.so.2", "glibc/libc.so.6", "glibc/libm.so.6", "glibc/libstdc++.so.6")
MUSL = toolchain("musl/ld-musl-x86_64.so.1", "musl/libc.so", "initfs/bin/init")


def content(tree: TreeBuilder, path: bytes) -> bytes:
    """Return what a file holds."""
    node = tree.get(path)
    assert node is not None
    assert node.type is InodeType.FILE
    buffer = bytearray(node.size + 1)
    with node.open() as stream:
        return bytes(buffer[: stream.readinto(memoryview(buffer))])


def target(tree: TreeBuilder, path: bytes) -> bytes:
    """Return where a link leads."""
    node = tree.get(path)
    assert node is not None
    assert node.type is InodeType.SYMLINK
    return node.target


def tree_of(**nodes: TreeNode) -> TreeBuilder:
    """Return a tree; names have ``_`` for ``/``."""
    tree = TreeBuilder()
    for name, node in nodes.items():
        tree.put(name.replace("_", "/").encode(), node)
    return tree


def test_files_are_put_where_links_lead() -> None:
    tree = tree_of(lib=link(b"usr/lib"), usr_lib_old=data_file(b""), opt=link(b"/../usr"))
    assert tree.put(b"lib/new", data_file(b"x")) == b"usr/lib/new"
    assert tree.put(b"opt/lib/deep/er", data_file(b"y")) == b"usr/lib/deep/er"
    assert tree.find_directory(b"opt/lib") == b"usr/lib"
    assert tree.find_directory(b"nothing") is None
    assert [path for path, _ in walk(tree.root())] == [
        b"/lib", b"/opt", b"/usr", b"/usr/lib", b"/usr/lib/deep", b"/usr/lib/deep/er", b"/usr/lib/new",
        b"/usr/lib/old",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "path", "message"),
    [
        ({"a": data_file(b"")}, b"a/b", "/a of the image is a file"),
        ({"a": link(b"a")}, b"a/b", "too many symbolic links"),
        ({"a_b_c": data_file(b"")}, b"a/b", "/a/b of the image is a directory"),
    ],
)
def test_what_stands_in_the_way_is_named(nodes: dict[str, TreeNode], path: bytes, message: str) -> None:
    with pytest.raises(IncompatibleImageError, match=message):
        tree_of(**nodes).put(path, data_file(b""))


def test_links_never_lead_out() -> None:
    tree = tree_of(up=link(b"../../.."))
    assert tree.put(b"up/up/file", data_file(b"")) == b"file"


def test_musl_takes_the_place_of_the_images_own() -> None:
    own = {
        "usr_lib_ld-musl-x86": data_file(b""),
        "lib": link(b"/usr/lib"),
        "usr_lib_libc.so": data_file(b"own"),
    }
    tree = tree_of(**own)
    tree.put(b"usr/lib/ld-musl-x86_64.so.1", data_file(b"own"))
    lay_over(tree, MUSL, [CLibrary.MUSL])
    assert content(tree, b"usr/lib/ld-musl-x86_64.so.1") == b"musl/ld-musl-x86_64.so.1"
    assert content(tree, b"usr/lib/libc.so") == b"musl/libc.so"


def test_copies_of_glibc_become_links_to_occlums() -> None:
    tree = tree_of(lib=link(b"usr/lib"), lib64=link(b"usr/lib64"), usr_lib64_x=data_file(b""))
    folder = b"usr/lib/x86_64-linux-gnu/"
    for name in (b"libc-2.31.so", b"libm.so.6", b"libstdc++.so.6", b"libz.so.1"):
        tree.put(folder + name, data_file(b"own"))
    tree.put(folder + b"libc.so.6", link(b"libc-2.31.so"))
    lay_over(tree, GLIBC, [CLibrary.GLIBC])
    assert target(tree, folder + b"libc.so.6") == b"/opt/occlum/glibc/lib/libc.so.6"
    assert target(tree, folder + b"libm.so.6") == b"/opt/occlum/glibc/lib/libm.so.6"
    assert content(tree, folder + b"libstdc++.so.6") == content(tree, folder + b"libz.so.1") == b"own"
    assert content(tree, b"usr/lib64/ld-linux-x86-64.so.2") == b"glibc/ld-linux-x86-64.so.2"
    assert content(tree, b"opt/occlum/glibc/lib/libc.so.6") == b"glibc/libc.so.6"
    assert target(tree, b"opt/occlum/glibc/lib/ld-linux-x86-64.so.2") == b"/lib64/ld-linux-x86-64.so.2"


def test_a_library_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"has no glibc/ld-linux-x86-64\.so\.2"):
        lay_over(TreeBuilder(), MUSL, [CLibrary.GLIBC])
    with pytest.raises(UsageError, match="has no initfs/bin/init"):
        init_tree(GLIBC)


def test_libraries_are_known_by_their_loaders() -> None:
    assert wanted_by(["/lib64/ld-linux-x86-64.so.2", ""]) == (CLibrary.GLIBC,)
    assert wanted_by(["/lib/ld-musl-x86_64.so.1", "/x/ld-linux-x86-64.so.2"]) == tuple(CLibrary)
    assert wanted_by(["/system/bin/linker64"]) == ()
    assert provided_by(MUSL) == (CLibrary.MUSL,)


def test_occlums_glibc_is_searched_first_and_the_images_folders_next() -> None:
    made = with_library_path(["A=b", "LD_LIBRARY_PATH=/mine::/lib64", "C="])
    assert made[:2] == ["A=b", "C="]
    folders = made[2].removeprefix("LD_LIBRARY_PATH=").split(":")
    assert folders[:3] == ["/opt/occlum/glibc/lib", "/mine", "/lib64"]
    assert len(folders) == len(set(folders))
    assert "/usr/lib/x86_64-linux-gnu" in folders
