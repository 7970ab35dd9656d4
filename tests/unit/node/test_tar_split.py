"""Archives put together from their lists and files are what they were, or refused."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError
from enclavize.node.engines.tar_split import assembled, assembled_size
from enclavize.oci.stream import chunks

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = {"bin/a": b"x" * 5000, "b": b"", "c d\xff": b"12345"}


def _segment(data: bytes) -> dict[str, Any]:
    return {"type": 2, "payload": base64.b64encode(data).decode()}


def _write(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(entry) + "\n" for entry in entries).encode()))
    return path


@pytest.fixture
def split(tmp_path: Path) -> tuple[Path, Path, bytes]:
    """Return a list, a folder, and the archive."""
    folder = tmp_path / "files"
    (folder / "bin").mkdir(parents=True)
    archive, entries = io.BytesIO(), []
    for name, data in CONTENT.items():
        text = name.encode("latin-1").decode(errors="surrogateescape")
        (folder / text).write_bytes(data)
        member = tarfile.TarInfo(text)
        member.size = len(data)
        header = member.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")
        padding = bytes(-len(data) % 512)
        archive.write(header + data + padding)
        raw = base64.b64encode(name.encode("latin-1")).decode()
        named = {"name_raw": raw} if "\xff" in name else {"name": name}
        entries += [_segment(header), {"type": 1, **named, "size": len(data), "payload": "AAAA"}]
        entries += [_segment(padding)]
    return _write(tmp_path / "split.gz", entries), folder, archive.getvalue()


def test_the_archive_is_the_same(split: tuple[Path, Path, bytes]) -> None:
    path, folder, archive = split
    assert b"".join(chunks(assembled(path, folder, "layer"))) == archive
    assert assembled_size(path) == len(archive)


def test_changed_files(split: tuple[Path, Path, bytes], tmp_path: Path) -> None:
    path, folder, _ = split
    (folder / "bin" / "a").write_bytes(b"short")
    with pytest.raises(IntegrityError, match="shorter than it was"):
        list(chunks(assembled(path, folder, "layer")))
    (folder / "bin" / "a").unlink()
    with pytest.raises(IntegrityError, match="cannot be read: No such file"):
        list(chunks(assembled(path, folder, "layer")))
    (tmp_path / "secret").write_bytes(b"x" * 5000)
    (folder / "bin" / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(IntegrityError, match="cannot be read"):
        list(chunks(assembled(path, folder, "layer")))
    (folder / "bin" / "a").unlink()
    (folder / "bin").rmdir()
    (folder / "bin").symlink_to(tmp_path)
    (tmp_path / "a").write_bytes(b"x" * 5000)
    with pytest.raises(IntegrityError, match="cannot be read"):
        list(chunks(assembled(path, folder, "layer")))


@pytest.mark.parametrize(
    "entry",
    [
        {"type": 3},
        {"type": 1, "name": "../x", "size": 1},
        {"type": 1, "name": "", "size": 1},
        {"type": 1, "name": "a\0b", "size": 1},
        {"type": 1, "name": "\ud800", "size": 1},
        {"type": 1, "name": ["a"], "size": 1},
        {"type": 1, "size": 1},
        {"type": 1, "name": "a", "size": -1},
        {"type": 1, "name": "a", "size": "1"},
        {"type": 2, "payload": "?"},
        {"type": 2, "payload": 7},
        {},
    ],
)
def test_malformed_lists(tmp_path: Path, entry: dict[str, Any]) -> None:
    path = _write(tmp_path / "split.gz", [entry])
    with pytest.raises(InvalidImageError):
        list(chunks(assembled(path, tmp_path, "layer")))


NO_LISTS = {
    "empty": b"",
    "no gzip": b"no gzip",
    "no object": gzip.compress(b"[1]\n"),
    "not closed": gzip.compress(b"{\n"),
    "nested": gzip.compress(b"[" * 100_000 + b"\n"),
    "damaged": gzip.compress(b"{}\n")[:10] + b"\xff" * 20,
    "cut": gzip.compress(b"{}\n")[:-4],
}


@pytest.mark.parametrize("data", NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "split.gz").write_bytes(data)
    if not data:
        assert assembled_size(tmp_path / "split.gz") == 0  # whose digest is no layer's
        return
    with pytest.raises(EnclavizeError):
        assembled_size(tmp_path / "split.gz")
