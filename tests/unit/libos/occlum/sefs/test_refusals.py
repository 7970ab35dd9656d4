"""What an image cannot hold is refused in words before anything is written; failures leave nothing behind."""

from __future__ import annotations

import io
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, IncompatibleImageError, SigningRefusedError, UsageError
from enclavize.libos.occlum.sefs.keys import parse_mac, read_image_key
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.libos.occlum.sefs.tree import TreeNode, root_node, scan, symlink
from enclavize.libos.occlum.sefs.unpack import unpack, verify

if TYPE_CHECKING:
    from pathlib import Path

KEY_TEXT = "00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-FF"


def file(name: bytes, data: bytes = b"") -> TreeNode:
    return TreeNode(
        name=name, type=InodeType.FILE, mode=0o644, size=len(data), open=partial(io.BytesIO, data)
    )


def folder(name: bytes, *children: TreeNode) -> TreeNode:
    return TreeNode(name=name, type=InodeType.DIRECTORY, mode=0o755, children=list(children))


def deep(levels: int) -> TreeNode:
    node = file(b"x" * 200)
    for _ in range(levels):
        node = folder(b"d" * 200, node)
    return node


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (file(b"\xff\xfe"), r"/\\xff\\xfe: the name is not UTF-8, which an Occlum image cannot hold"),
        (file(b"x" * 256), "the name has more than 255 bytes"),
        (file(b"a/b"), "this is no name of a file"),
        (file(b".."), "this is no name of a file"),
        (file(b""), "this is no name of a file"),
        (file(b"a\0b"), "this is no name of a file"),
        (deep(20), "the path has more than 4095 bytes"),
        (symlink(b"l", b"\xff"), "/l: the target of the link is not UTF-8"),
        (symlink(b"l", b""), "the link has no target"),
        (symlink(b"l", b"t" * 4096), "the target of the link has more than 4095 bytes"),
        (folder(b"d", file(b"same"), file(b"same")), "/d/same is there twice"),
        (folder(b"d", *(folder(b"%d" % number) for number in range(65534))), "/d has 65534 folders in it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_an_image_cannot_hold_has_its_own_message(node: TreeNode, message: str, tmp_path: Path) -> None:
    root = root_node()
    root.children.append(node)
    with pytest.raises(EnclavizeError, match=message):
        pack(root, tmp_path / "image")
    assert list(tmp_path.iterdir()) == []


def test_fifos_and_sockets_are_refused_or_left_out(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mkfifo(tree / "fifo")
    with pytest.raises(IncompatibleImageError, match="fifo is a FIFO, which"):
        scan(tree)
    (tree / "fifo").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "socket"))
    with pytest.raises(IncompatibleImageError, match="socket is a socket, which"):
        scan(tree)
    skipped: list[str] = []
    assert scan(tree, skip=skipped.append).children == []
    assert len(skipped) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_are_refused(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this machine does not allow devices")
    with pytest.raises(IncompatibleImageError, match="null is a character device"):
        scan(tmp_path)


@pytest.mark.parametrize(("promised", "message"), [(2, "^/big grew"), (4, "^/big became shorter")])
def test_a_file_that_changes_meanwhile_is_an_error_and_nothing_stays(
    promised: int, message: str, tmp_path: Path
) -> None:
    root = root_node()
    content = partial(io.BytesIO, b"123")
    root.children.append(TreeNode(name=b"big", type=InodeType.FILE, mode=0o644, size=promised, open=content))
    with pytest.raises(EnclavizeError, match=message):
        pack(root, tmp_path / "image")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").touch()
    root = scan(tmp_path / "tree")
    (tmp_path / "tree/file").unlink()
    with pytest.raises(EnclavizeError, match="cannot read /file: No such file"):
        pack(root, tmp_path / "image")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    pack(root_node(), tmp_path / "image")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    for name in ("image", "dangling", "file"):
        with pytest.raises(UsageError, match="exists"):
            pack(root_node(), tmp_path / name)
        with pytest.raises(UsageError, match="exists"):
            unpack(tmp_path / "image", tmp_path / name)
    with pytest.raises(EnclavizeError, match="cannot write"):
        pack(root_node(), tmp_path / "no/such/folder")


def test_what_is_no_folder_or_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        scan(tmp_path / "missing")
    with pytest.raises(UsageError, match="is no SEFS image"):
        verify(tmp_path)


def test_image_keys_are_in_occlums_notation(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY_TEXT + "\n")
    path.chmod(0o600)
    assert read_image_key(path) == bytes.fromhex("00112233445566778899aabbccddeeff")
    for text in ("", KEY_TEXT[:-1], KEY_TEXT + "-00", KEY_TEXT.replace("-", ""), KEY_TEXT + "\n\n", "ä" * 47):
        path.write_text(text)
        with pytest.raises(UsageError, match="holds no image key") as caught:
            read_image_key(path)
        assert not text or text not in str(caught.value)
    path.write_text(KEY_TEXT)
    path.chmod(0o644)
    with pytest.raises(SigningRefusedError, match="every user of this machine can read"):
        read_image_key(path)
    with pytest.raises(EnclavizeError, match="cannot read"):
        read_image_key(tmp_path / "missing")
    with pytest.raises(UsageError, match="is no root MAC"):
        parse_mac("06-5a")
