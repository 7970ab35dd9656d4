"""What is packed comes back, encrypted or not."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import tracemalloc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclavize.libos.occlum.sefs.node import GROUP_DATA, INLINE_SIZE, NODE_SIZE
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.structures import NAME_MAX, PERMISSIONS, InodeType
from enclavize.libos.occlum.sefs.tree import TreeNode, root_node, scan
from enclavize.libos.occlum.sefs.unpack import unpack, verify
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    Tree = Mapping[str, "tuple[int, bytes] | str | Tree"]

KEY = bytes(range(16))
OWNER = 0 if os.geteuid() == 0 else 0o700
"""What only root can do without."""

EDGES = (0, INLINE_SIZE, INLINE_SIZE + NODE_SIZE, INLINE_SIZE + GROUP_DATA, INLINE_SIZE + 2 * GROUP_DATA)

both_kinds = pytest.mark.parametrize("key", [None, KEY], ids=["integrity-only", "encrypted"])

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=NAME_MAX
).filter(lambda name: name not in {".", ".."} and len(name.encode()) <= NAME_MAX)
sizes = st.builds(lambda edge, off: max(0, edge + off), st.sampled_from(EDGES), st.integers(-2, 2))
files = st.tuples(
    st.integers(0, 0o777).map(lambda mode: mode | OWNER),
    st.one_of(
        st.binary(max_size=64),
        st.builds(
            lambda size, unit: (unit * (size // len(unit) + 1))[:size],
            sizes,
            st.binary(min_size=1, max_size=9),
        ),
    ),
)
links = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60)
trees = st.recursive(
    st.dictionaries(names, files | links, max_size=4),
    lambda children: st.dictionaries(names, files | links | children, max_size=4),
    max_leaves=12,
)


def make(tree: Tree, folder: Path) -> None:
    folder.mkdir()
    for name, item in tree.items():
        match item:
            case (int(mode), bytes(data)):
                (folder / name).write_bytes(data)
                (folder / name).chmod(mode)
            case str(target):
                (folder / name).symlink_to(target)
            case _:
                make(item, folder / name)


def facts(folder: Path) -> dict[str, object]:
    """Return all that an image keeps of a folder."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        kind, mode = stat.S_IFMT(status.st_mode), status.st_mode & PERMISSIONS
        match kind:
            case stat.S_IFLNK:
                content: bytes | str | None = str(path.readlink())
            case stat.S_IFREG:
                content = path.read_bytes()
            case _:
                content = None
        found[str(path.relative_to(folder))] = (kind, mode, content)
    return found


@settings(
    max_examples=scaled(1000, least=25),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(tree=trees, key=st.sampled_from([None, KEY]))
def test_unpacking_a_packed_tree_gives_the_tree(tree: Tree, key: bytes | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        make(tree, base / "tree")
        packed = pack(scan(base / "tree"), base / "image", key=key)
        found = unpack(base / "image", base / "copy", key=key, root_mac=packed.root_mac)
        assert facts(base / "copy") == facts(base / "tree")
        assert verify(base / "image", key=key) == found
        again = pack(scan(base / "copy"), base / "again", key=key)
        assert (again.root_mac == packed.root_mac) == (key is None)


@both_kinds
def test_a_file_with_a_tree_of_three_levels_comes_back(key: bytes | None, tmp_path: Path) -> None:
    data = os.urandom(1000) * 1000
    content = (data * 14)[: 34 * GROUP_DATA + INLINE_SIZE + 1]
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(content)
    pack(scan(tmp_path / "tree"), tmp_path / "image", key=key)
    unpack(tmp_path / "image", tmp_path / "copy", key=key)
    assert (tmp_path / "copy/file").read_bytes() == content


def test_directories_without_permissions_come_back(tmp_path: Path) -> None:
    root, locked = root_node(), TreeNode(name=b"locked", type=InodeType.DIRECTORY, mode=0o500)
    data = partial(io.BytesIO, b"x")
    locked.children.append(TreeNode(name=b"file", type=InodeType.FILE, mode=0o400, size=1, open=data))
    root.children.append(locked)
    pack(root, tmp_path / "image")
    unpack(tmp_path / "image", tmp_path / "copy")
    assert (tmp_path / "copy/locked").stat().st_mode & PERMISSIONS == 0o500
    assert (tmp_path / "copy/locked/file").read_bytes() == b"x"


def test_one_node_may_stand_in_two_places(tmp_path: Path) -> None:
    data = partial(io.BytesIO, b"x")
    shared = TreeNode(name=b"file", type=InodeType.FILE, mode=0o644, size=1, open=data)
    root = root_node()
    root.children.append(shared)
    for name in (b"a", b"b"):
        root.children.append(TreeNode(name=name, type=InodeType.DIRECTORY, mode=0o755, children=[shared]))
    pack(root, tmp_path / "image")
    assert unpack(tmp_path / "image", tmp_path / "copy").size == 3
    assert [path.name for path in sorted((tmp_path / "copy").rglob("file"))] == ["file"] * 3


def test_very_deep_folders_come_back(tmp_path: Path) -> None:
    node = root = root_node()
    for _ in range(1500):
        node.children.append(TreeNode(name=b"d", type=InodeType.DIRECTORY, mode=0o755))
        node = node.children[0]
    pack(root, tmp_path / "image")
    assert unpack(tmp_path / "image", tmp_path / "copy").inodes == 1501


@pytest.mark.parametrize("count", [1021, 1022, 1023, 2043, 2044])
def test_any_number_of_inodes_fits(count: int, tmp_path: Path) -> None:
    """The last inode is before, at and after the block of a free map."""
    root = root_node()
    root.children.extend(
        TreeNode(name=b"%d" % number, type=InodeType.FILE, mode=0o644) for number in range(count)
    )
    pack(root, tmp_path / "image")
    assert verify(tmp_path / "image").inodes == count + 1


def test_keys_of_encrypted_nodes_are_never_the_same(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/zeros").write_bytes(bytes(10 * NODE_SIZE))
    nodes: list[bytes] = []
    for name in ("one", "two"):
        pack(scan(tmp_path / "tree"), tmp_path / name, key=KEY)
        for path in (tmp_path / name).iterdir():
            data = path.read_bytes()
            nodes += [data[offset : offset + NODE_SIZE] for offset in range(0, len(data), NODE_SIZE)]
    assert len(set(nodes)) == len(nodes)


@both_kinds
def test_memory_does_not_grow_with_the_files(key: bytes | None, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree/large").open("wb") as file:
        file.truncate(scaled(500_000_000, least=30_000_000))
    tracemalloc.start()
    try:
        pack(scan(tmp_path / "tree"), tmp_path / "image", key=key)
        verify(tmp_path / "image", key=key)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
