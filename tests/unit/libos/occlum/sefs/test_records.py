"""Records of SEFS by release: what is written for each one, and what is told of an image that is read."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IntegrityError
from enclavize.libos.occlum.sefs.image import SefsImage
from enclavize.libos.occlum.sefs.pack import pack
from enclavize.libos.occlum.sefs.protection import protection_for
from enclavize.libos.occlum.sefs.reader import ProtectedFile
from enclavize.libos.occlum.sefs.structures import METADATA, NARROW, UNTYPED, WIDE, Records, image_file_id
from enclavize.libos.occlum.sefs.tree import scan
from enclavize.libos.occlum.sefs.unpack import unpack, verify
from enclavize.libos.occlum.sefs.writer import ProtectedFileWriter
from enclavize.libos.occlum.versions import parse_release

if TYPE_CHECKING:
    from pathlib import Path

FORMS = [
    pytest.param(WIDE, 112, 264, id="wide"),
    pytest.param(NARROW, 72, 264, id="narrow"),
    pytest.param(UNTYPED, 72, 260, id="untyped"),
]
KEY = bytes(range(16))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "file").write_bytes(b"content")
    (tree / "folder" / "file").chmod(0o640)
    (tree / "link").symlink_to("folder/file")
    (tree / "empty").mkdir()
    return tree


def _content(image: Path, name: str, key: bytes | None = None) -> bytes:
    with (image / name).open("rb", buffering=0) as stream:
        return bytes(ProtectedFile(stream, name.encode(), protection_for(key)).content())


@pytest.mark.parametrize(
    ("version", "records"),
    [
        ("0.21.0", UNTYPED), ("0.22.0", UNTYPED), ("0.23.0", NARROW), ("0.26.3", NARROW), ("0.26.4", WIDE),
        ("0.29.7", WIDE), ("0.31.0", WIDE),
    ],
)  # fmt: skip
def test_records_are_those_of_the_release(version: str, records: Records) -> None:
    assert parse_release(version).sefs_records is records


@pytest.mark.parametrize("records", [WIDE, NARROW, UNTYPED])
@pytest.mark.parametrize("key", [None, KEY])
def test_an_image_is_read_as_it_was_written(
    tree: Path, tmp_path: Path, records: Records, key: bytes | None
) -> None:
    image = tmp_path / "image"
    packed = pack(scan(tree), image, key=key, records=records)
    found = verify(image, key=key, root_mac=packed.root_mac)
    assert found.records is records
    unpack(image, tmp_path / "again", key=key)
    assert (tmp_path / "again" / "folder" / "file").read_bytes() == b"content"
    assert (tmp_path / "again" / "folder" / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "again" / "link").readlink().as_posix() == "folder/file"


@pytest.mark.parametrize(("records", "inode", "entry"), FORMS)
def test_places_in_the_records(tree: Path, tmp_path: Path, records: Records, inode: int, entry: int) -> None:
    image = tmp_path / "image"
    pack(scan(tree), image, records=records)
    metadata = _content(image, METADATA)
    root = metadata[256 : 256 + inode]
    assert (records.inode.size, records.entry.size) == (inode, entry)
    size, kind, mode, links, entries, uid, gid = struct.unpack_from("<QIHHIII", root)
    assert (size, kind, mode, links, entries, uid, gid) == (0, 2, 0o755, 4, 5, 0, 0)
    assert root[28 : inode - 32] == bytes(inode - 60)
    assert root[inode - 32 : inode - 16] == image_file_id(2)
    directory = _content(image, image_file_id(2).hex())
    assert len(directory) == 5 * entry
    names = [directory[at + 4 : at + 260].rstrip(b"\0") for at in range(0, len(directory), entry)]
    assert names == [b".", b"..", b"empty", b"folder", b"link"]
    if entry == 264:
        assert [directory[at + 260] for at in range(0, len(directory), entry)] == [2, 2, 2, 2, 3]


def test_wide_inodes_with_untyped_entries_are_of_no_release(tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    pack(scan(tree), image, records=Records(times=WIDE.times, entry=UNTYPED.entry))
    with pytest.raises(IntegrityError, match="not one of a known release"):
        SefsImage(image, None, None)


def test_mixed_entries_are_refused(tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    pack(scan(tree), image, records=NARROW)
    name = image_file_id(3).hex()  # an empty folder
    path = image / name
    entries = [
        _content(image, name)[at : at + 260] for at in range(0, len(_content(image, name)), NARROW.entry.size)
    ]
    path.unlink()
    with path.open("xb") as output:
        content = b"".join(entries)
        ProtectedFileWriter(protection_for(None)).write(
            output, name.encode(), io.BytesIO(content), len(content)
        )
    with pytest.raises(IntegrityError):
        verify(image)
