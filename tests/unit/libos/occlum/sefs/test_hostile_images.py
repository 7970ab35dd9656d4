"""Images made by an attacker: refused in words, with nothing written outside the destination.

Whoever knows the format can seal an integrity-only image anew after any change; so do these tests.
"""

from __future__ import annotations

import io
import os
import random
import stat
import struct
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.libos.occlum.sefs.node import BODY, NODE_SIZE, PLAIN
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.protection import IntegrityOnly
from enclavize.libos.occlum.sefs.reader import ProtectedFile
from enclavize.libos.occlum.sefs.structures import BLOCK_SIZE, METADATA, WIDE, image_file_id
from enclavize.libos.occlum.sefs.tree import scan
from enclavize.libos.occlum.sefs.unpack import unpack, verify
from enclavize.libos.occlum.sefs.writer import ProtectedFileWriter
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Edit = Callable[[bytearray], None]

ROOT, FOLDER, INNER, LARGE, LINK = range(2, 7)
"""Inode numbers of the image below."""

ENTRY = WIDE.entry
MODE, LINKS, ENTRIES, FILE_ID, MAC = 12, 14, 16, 80, 96
"""Offsets in an inode."""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a/inner").write_bytes(b"inner")
    (tree / "large").write_bytes(bytes(range(256)) * 40)
    (tree / "link").symlink_to("large")
    pack(scan(tree), tmp_path / "image")
    return tmp_path / "image"


def name_of(inode: int | None) -> str:
    return METADATA if inode is None else image_file_id(inode).hex()


def reseal(image: Path, inode: int | None, edit: Edit) -> None:
    """Change the content of an inode's file, or of the metadata, and make the MACs fit again."""
    path = image / name_of(inode)
    with path.open("rb", 0) as stream:
        content = bytearray(ProtectedFile(stream, path.name.encode(), IntegrityOnly()).content())
    edit(content)
    path.unlink()
    with path.open("xb") as output:
        mac = ProtectedFileWriter(IntegrityOnly()).write(
            output, path.name.encode(), io.BytesIO(content), len(content)
        )
    if inode is not None:
        reseal(image, None, put(inode * BLOCK_SIZE + MAC, mac))


def put(offset: int, data: bytes) -> Edit:
    def edit(content: bytearray) -> None:
        content[offset : offset + len(data)] = data

    return edit


def inode_field(inode: int, offset: int, form: str, value: int) -> Edit:
    return put(inode * BLOCK_SIZE + offset, struct.pack(form, value))


def entry(index: int, number: int, name: bytes, kind: int) -> Edit:
    return put(index * ENTRY.size, ENTRY.pack(number, name, kind))


def append(data: bytes) -> Edit:
    return lambda content: content.extend(data)


def cut(size: int) -> Edit:
    def edit(content: bytearray) -> None:
        del content[size:]

    return edit


def check_refused(image: Path, message: str = "") -> None:
    outside = image.parent
    before = sorted(outside.iterdir())
    with pytest.raises(EnclavizeError, match=message) as first:
        verify(image)
    with pytest.raises(EnclavizeError, match=message) as second:
        unpack(image, outside / "copy")
    assert str(first.value) == str(second.value)
    assert sorted(outside.iterdir()) == before


@pytest.mark.parametrize(
    ("inode", "edit", "message"),
    [
        (ROOT, entry(2, FOLDER, b"../out", 2), "the name ../out cannot be"),
        (ROOT, entry(2, FOLDER, b"..", 2), "the name .. cannot be"),
        (ROOT, entry(2, FOLDER, b"", 2), "the name  cannot be"),
        (ROOT, entry(2, FOLDER, b"/tmp", 2), "the name /tmp cannot be"),
        (ROOT, entry(2, FOLDER, b"\xff", 2), "the name .xff cannot be"),
        (ROOT, entry(2, FOLDER, b"link", 2), "the name link cannot be, or is there twice"),
        (ROOT, entry(2, FOLDER, b"x" * 256, 2), "has no end"),
        (ROOT, entry(0, FOLDER, b".", 2), "does not begin with itself and its parent"),
        (FOLDER, entry(1, FOLDER, b"..", 2), "does not begin with itself and its parent"),
        (FOLDER, entry(2, ROOT, b"loop", 2), "inode 2 has a second name"),
        (FOLDER, entry(2, FOLDER, b"loop", 2), "inode 3 has a second name"),
        (FOLDER, entry(2, LARGE, b"hard", 1), "inode 5 has a second name"),
        (FOLDER, entry(2, INNER, b"inner", 2), "inner is of type 2, its inode of type 1"),
        (FOLDER, entry(2, 0, b"inner", 1), "there is no inode 0"),
        (FOLDER, entry(2, 1, b"inner", 1), "there is no inode 1"),
        (FOLDER, entry(2, 7, b"inner", 1), "there is no inode 7"),
        (FOLDER, entry(2, 0xFFFFFFFF, b"inner", 1), "there is no inode 4294967295"),
        (FOLDER, append(bytes(ENTRY.size)), "3 entries do not have 1056 bytes"),
        (FOLDER, cut(ENTRY.size * 2), "3 entries do not have 528 bytes"),
        (None, inode_field(FOLDER, ENTRIES, "<I", 0), "0 entries do not have"),
        (None, inode_field(FOLDER, ENTRIES, "<I", 0xFFFFFFFF), "4294967295 entries do not have"),
        (None, inode_field(FOLDER, LINKS, "<H", 3), "3 links do not fit 0 folders"),
        (None, inode_field(LARGE, LINKS, "<H", 2), "2 links instead of one"),
        (None, inode_field(LARGE, 0, "<Q", 1 << 63), "not 9223372036854775808 as its inode says"),
        (None, inode_field(LARGE, 8, "<I", 4), "inode 5 has the unknown type 4"),
        (None, inode_field(LARGE, MAC, "<Q", 0), "the MAC is"),
        (None, inode_field(LARGE, FILE_ID, "<Q", INNER), "two inodes have the file"),
        (None, inode_field(LARGE, FILE_ID, "<Q", 99), "cannot read .*63000000000000000000000000000000"),
        (None, put(BLOCK_SIZE, b"\x10"), "inode 4 is not in use"),
        (None, put(0, b"SEFS"), "does not begin as SEFS metadata does"),
        (None, put(12, struct.pack("<I", 0xFFFFFFFF)), "cannot be 4294967295 groups"),
        (None, put(12, struct.pack("<I", 0)), "cannot be 0 groups"),
        (None, put(4, struct.pack("<III", 2048, 1018, 2)), "cannot be 2 groups of 2048 blocks"),
        (None, put(4, struct.pack("<III", 0xFFFFFC00, 1018, 0x3FFFFF)), "cannot be 4194303 groups"),
        (None, put(8, struct.pack("<I", 5)), "blocks are free, not 5"),
        (None, cut(100), "it is too short"),
        (None, cut(BLOCK_SIZE * 5), "there is no inode"),
        (None, append(bytes(1024 * BLOCK_SIZE)), "are too many for 6 files"),
        (LINK, cut(0), "it holds 0 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_well_sealed_lie_is_refused(image: Path, inode: int | None, edit: Edit, message: str) -> None:
    reseal(image, inode, edit)
    check_refused(image, message)


@pytest.mark.parametrize("target", [b"", b"x" * 4096, b"a\0b"], ids=["empty", "long", "NUL"])
def test_a_link_without_a_possible_target_is_refused(image: Path, target: bytes) -> None:
    def replace(content: bytearray) -> None:
        content[:] = target

    reseal(image, LINK, replace)
    reseal(image, None, inode_field(LINK, 0, "<Q", len(target)))
    check_refused(image, "a link's target")


def test_an_inode_that_no_directory_names_is_refused(image: Path) -> None:
    reseal(image, FOLDER, cut(2 * ENTRY.size))
    reseal(image, None, inode_field(FOLDER, ENTRIES, "<I", 2))
    check_refused(image, "1 inodes are in no directory")


def test_a_path_that_linux_cannot_name_is_refused(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    folder = os.open(tree, os.O_RDONLY)
    for _ in range(18):
        os.mkdir("d" * 220, dir_fd=folder)
        inner = os.open("d" * 220, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    pack(scan(tree), tmp_path / "image")
    for inode in range(2, 20):
        reseal(tmp_path / "image", inode, _lengthen)
    check_refused(tmp_path / "image", "cannot be, or is there twice")


def _lengthen(directory: bytearray) -> None:
    number, _name, kind = ENTRY.unpack_from(directory, 2 * ENTRY.size)
    directory[2 * ENTRY.size :] = ENTRY.pack(number, b"d" * 250, kind)


def test_an_unpacked_file_is_never_setuid(image: Path) -> None:
    reseal(image, None, inode_field(LARGE, MODE, "<H", 0o7755))
    reseal(image, None, inode_field(FOLDER, MODE, "<H", 0o7777))
    unpack(image, image.parent / "copy")
    assert stat.S_IMODE((image.parent / "copy/large").stat().st_mode) == 0o755
    assert stat.S_IMODE((image.parent / "copy/a").stat().st_mode) == 0o777


def test_files_that_do_not_belong_there_are_refused(image: Path) -> None:
    (image / "stranger").touch()
    check_refused(image, "stranger belongs to no inode")


def test_links_fifos_and_folders_in_place_of_files_are_refused(image: Path) -> None:
    path = image / name_of(LARGE)
    moved = path.rename(image.parent / "moved")
    path.symlink_to(moved)
    check_refused(image, "cannot read")
    path.unlink()
    os.mkfifo(path)
    check_refused(image, "is no regular file")
    path.unlink()
    path.mkdir()
    check_refused(image, "is no regular file")


@pytest.mark.parametrize("size", [0, 100, NODE_SIZE - 1, NODE_SIZE, 3 * NODE_SIZE, 5 * NODE_SIZE])
def test_a_file_of_another_length_is_refused(image: Path, size: int) -> None:
    os.truncate(image / name_of(LARGE), size)
    check_refused(image, name_of(LARGE))


@pytest.mark.parametrize("size", [-1, 0, 3072, 1 << 62, (1 << 63) - 1])
def test_a_size_that_does_not_fit_the_file_is_refused(image: Path, size: int) -> None:
    path = image / name_of(LARGE)
    node = path.read_bytes()
    name, _size, root, inline = BODY.unpack_from(node, PLAIN.size)
    sealed, mac = IntegrityOnly().seal_metadata(BODY.pack(name, size, root, inline))
    path.write_bytes(sealed + node[NODE_SIZE:])
    reseal(image, None, put(LARGE * BLOCK_SIZE + MAC, mac))
    check_refused(image, f"a content of {size} bytes does not have")


def test_another_root_mac_is_refused(image: Path) -> None:
    with pytest.raises(IntegrityError, match=r"the root MAC is .*, not 00-00.* as expected"):
        verify(image, root_mac=bytes(16))


def test_two_files_exchanged_are_refused(image: Path) -> None:
    one, other = image / name_of(INNER), image / name_of(LINK)
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    check_refused(image, "made under another name")


def test_every_changed_bit_that_is_used_is_found(image: Path) -> None:
    """Node 0 ends with unused bytes, and its plain part has fields that an enclave's own key alone needs."""
    unused = {*range(10, 42), *range(42, 60), *range(61, 77), *range(PLAIN.size + BODY.size, NODE_SIZE)}
    paths = sorted(image.iterdir())
    rng = random.Random(5)
    for _ in range(scaled(4000, least=200)):
        path = rng.choice(paths)
        data = bytearray(path.read_bytes())
        position = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(4000)
        if position in unused:
            continue
        data[position] ^= 1 << rng.randrange(8)
        kept = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            verify(image)
        path.write_bytes(kept)
    verify(image)


def test_random_changes_to_sealed_structures_never_crash(image: Path) -> None:
    rng = random.Random(6)
    kept = {path: path.read_bytes() for path in image.iterdir()}
    copies = image.parent / "copies"
    copies.mkdir()
    before = sorted(image.parent.iterdir())
    unpacked: set[Path] = set()
    interesting = (0, 1, 2, 3, 5, 46, 47, 255, *(1 << bit for bit in range(8)))

    def mutate(content: bytearray) -> None:
        used = ROOT * BLOCK_SIZE + 5 * BLOCK_SIZE
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(min(len(content), used))] = rng.choice(interesting)

    for number in range(scaled(4000, least=200)):
        for path, data in kept.items():
            path.write_bytes(data)
        try:
            for inode in rng.choices([None, None, ROOT, FOLDER, LINK], k=rng.randint(1, 2)):
                reseal(image, inode, mutate)
            unpack(image, copies / str(number))
            unpacked.add(copies / str(number))
        except EnclavizeError:
            pass
        assert sorted(image.parent.iterdir()) == before
        assert set(copies.iterdir()) == unpacked
    assert unpacked
