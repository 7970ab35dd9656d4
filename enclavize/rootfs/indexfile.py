"""The file that keeps what was found in a layer, so that the layer is never read again.

    64 bytes    magic and format version, size of the Merkle part, size of the records part, SHA-256 of both
    Merkle part: the trees of the layer's files, one after the other
    records part: zstd, JSON: [diff_id, [record, ...]]; a record is a list whose first item tells its kind

The header is written last and the file gets its name after that: a file with a name is whole. The hash is
there for damaged disks, not against enemies, who cannot write to the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.layer import GlobalHeader, HardLink, OpaqueWhiteout, Whiteout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from enclavize.rootfs.layer import Record

FORMAT_VERSION = 6
"""Part of the file's name: whoever changes what is found in a layer, or how it is written, counts up."""

MAX_RECORDS_SIZE = 2 << 30
"""Bytes of the records part before compression."""

_HEADER = struct.Struct("<16sQQ32s")
_MAGIC = b"enclavize index" + bytes([FORMAT_VERSION])
_COMPRESSION_LEVEL = 1
_CHUNK_SIZE = 1 << 20

_KINDS = {
    FileType.REGULAR: "f",
    FileType.DIRECTORY: "d",
    FileType.SYMLINK: "l",
    FileType.CHARACTER_DEVICE: "c",
    FileType.BLOCK_DEVICE: "b",
    FileType.FIFO: "p",
}
_TYPES = {kind: file_type for file_type, kind in _KINDS.items()}


class DamagedIndexError(Exception):
    """The file is not what was written."""


@dataclass(frozen=True, kw_only=True)
class LayerIndex:
    """What a layer does to the tree, and where the Merkle trees of its files are."""

    diff_id: str
    records: Sequence[Record]
    path: Path

    def merkle(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of the Merkle part. Raises DamagedIndexError, OSError."""
        with self.path.open("rb") as file:
            data = os.pread(file.fileno(), size, _HEADER.size + offset)
        if len(data) != size:
            raise DamagedIndexError(str(self.path))
        return data


def start_index(file: BinaryIO) -> None:
    """Leave room for the header; Merkle trees come next."""
    file.write(bytes(_HEADER.size))


def finish_index(file: BinaryIO, merkle_size: int, diff_id: str, records: Sequence[Record]) -> None:
    """Write the records after the Merkle trees, and the header. ``file`` is open for reading too."""
    import zstandard

    text = json.dumps([diff_id, [_to_json(record) for record in records]], separators=(",", ":"))
    packed = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(text.encode("ascii"))
    file.seek(_HEADER.size + merkle_size)
    file.write(packed)
    file.flush()
    digest = _digest(file)
    file.seek(0)
    file.write(_HEADER.pack(_MAGIC, merkle_size, len(packed), digest))


def read_index(path: Path, number: int) -> LayerIndex:
    """Read the index of layer ``number`` of an image. Raises DamagedIndexError, OSError."""
    import zstandard

    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise DamagedIndexError(str(path))
        magic, merkle_size, packed_size, digest = _HEADER.unpack(header)
        total = os.fstat(file.fileno()).st_size
        if magic != _MAGIC or total != _HEADER.size + merkle_size + packed_size or digest != _digest(file):
            raise DamagedIndexError(str(path))
        packed = os.pread(file.fileno(), packed_size, _HEADER.size + merkle_size)
    if not 0 <= zstandard.frame_content_size(packed) <= MAX_RECORDS_SIZE:
        raise DamagedIndexError(str(path))
    diff_id, records = json.loads(zstandard.ZstdDecompressor().decompress(packed))
    return LayerIndex(diff_id=diff_id, records=[_from_json(record, number) for record in records], path=path)


def _digest(file: BinaryIO) -> bytes:
    """Return the SHA-256 of everything after the header."""
    content = hashlib.sha256()
    file.seek(_HEADER.size)
    while chunk := file.read(_CHUNK_SIZE):
        content.update(chunk)
    return content.digest()


def _to_json(record: Record) -> list[Any]:
    match record:
        case HardLink() as link:
            return ["h", link.path, link.target, link.mode, link.uid, link.gid, _packed(link.xattrs)]
        case Whiteout(path=path):
            return ["w", path]
        case OpaqueWhiteout(path=path):
            return ["o", path]
        case GlobalHeader(path=path):
            return ["g", path]
        case Entry() as entry:
            kind = _KINDS[entry.type]
            owner = (entry.mode, entry.uid, entry.gid, entry.mtime)
            common = [kind, entry.member, entry.path, *owner, _packed(entry.xattrs)]
            if entry.type is FileType.SYMLINK:
                return [*common, entry.link_target, entry.size]
            if entry.type is not FileType.REGULAR:
                return [*common, *entry.rdev]
            return [
                *common,
                entry.size,
                entry.sha256.hex(),
                entry.verity.hex(),
                entry.merkle_offset,
                astuple(entry.elf) if entry.elf else None,
                entry.interpreter_line,
                None if entry.content is None else entry.content.hex(),
            ]


def _packed(xattrs: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.hex() for name, value in xattrs.items()}


def _unpacked(xattrs: Mapping[str, str]) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in xattrs.items()}


_ELF_FIELDS = tuple(ElfFacts.__dataclass_fields__)


def _elf_from_json(values: list[Any]) -> ElfFacts:
    plain: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    return ElfFacts(**dict(zip(_ELF_FIELDS, plain, strict=True)))


def _from_json(values: list[Any], number: int) -> Record:
    match values:
        case ["h", path, target, mode, uid, gid, xattrs]:
            return HardLink(path=path, target=target, mode=mode, uid=uid, gid=gid, xattrs=_unpacked(xattrs))
        case ["w", path]:
            return Whiteout(path=path)
        case ["o", path]:
            return OpaqueWhiteout(path=path)
        case ["g", path]:
            return GlobalHeader(path=path)
        case ["f", member, path, mode, uid, gid, mtime, xattrs, *rest]:
            size, digest, verity, offset, facts, line, content = rest
            return Entry(
                path=path, type=FileType.REGULAR, mode=mode, uid=uid, gid=gid, mtime=mtime, size=size,
                xattrs=_unpacked(xattrs),
                sha256=bytes.fromhex(digest), verity=bytes.fromhex(verity), layer=number, member=member,
                data_path=path, merkle_offset=offset, elf=_elf_from_json(facts) if facts else None,
                interpreter_line=line, content=None if content is None else bytes.fromhex(content),
            )  # fmt: skip
        case [str(kind), member, path, mode, uid, gid, mtime, xattrs, *rest]:
            link, size = rest if kind == "l" else ("", 0)
            return Entry(
                path=path, type=_TYPES[kind], mode=mode, uid=uid, gid=gid, mtime=mtime,
                xattrs=_unpacked(xattrs), layer=number,
                member=member, data_path=path, link_target=link, size=size,
                rdev=(0, 0) if link else (rest[0], rest[1]),
            )  # fmt: skip
        case _:
            raise DamagedIndexError("unknown record")
