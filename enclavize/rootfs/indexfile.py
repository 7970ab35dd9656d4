"""The file that keeps what was found in a layer, so that the layer is never read again.

    80 bytes    magic and format version; bytes of the Merkle trees, rows, heap and facts; SHA-256 of these
                four parts and of their sizes, as they stand here
    Merkle trees of the layer's files, one after the other
    rows and heap: see rows.py
    facts: JSON, [diff_id, [facts of an ELF file, ...]]

The header is written last and the file gets its name after that: a file with a name is whole. The hash is
there for damaged disks, not against enemies, who cannot write to the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import astuple, dataclass
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from enclavize.rootfs.entry import ElfFacts
from enclavize.rootfs.rows import Rows

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rootfs.rows import RowWriter

FORMAT_VERSION = 12
"""Part of the file's name: whoever changes what is found in a layer, or how it is written, counts up."""

_SIZES = struct.Struct("<QQQQ")
_HEADER = struct.Struct("<16sQQQQ32s")
_MAGIC = b"enclavize index" + bytes([FORMAT_VERSION])
_CHUNK_SIZE = 1 << 20
_ELF_FIELDS = tuple(ElfFacts.__dataclass_fields__)


class DamagedIndexError(Exception):
    """The file is not what was written."""


class _Header(NamedTuple):
    magic: bytes
    merkle: int
    rows: int
    heap: int
    facts: int
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class LayerIndex:
    """What a layer does to the tree, and where the Merkle trees of its files are."""

    diff_id: str
    records: Rows
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
    file.flush()


def finish_index(
    file: BinaryIO, records: RowWriter, *, merkle_size: int, diff_id: str, path: Path, number: int
) -> LayerIndex:
    """Write what comes after the Merkle trees, and the header. ``file`` is open for reading too."""
    document = [diff_id, [astuple(elf) for elf in records.facts]]
    facts = json.dumps(document, separators=(",", ":")).encode("ascii")
    file.seek(_HEADER.size + merkle_size)
    records.copy_to(file)
    file.write(facts)
    file.flush()
    sizes = merkle_size, records.rows_size, records.heap_size, len(facts)
    header = _Header(_MAGIC, *sizes, _digest(file, sizes))
    file.seek(0)
    file.write(_HEADER.pack(*header))
    file.flush()
    return _index(mmap(file.fileno(), 0, access=ACCESS_READ), header, path, number)


def read_index(path: Path, number: int) -> LayerIndex:
    """Read the index of layer ``number`` of an image. Raises DamagedIndexError, OSError."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _HEADER.size:
            raise DamagedIndexError(str(path))
        content = mmap(file.fileno(), 0, access=ACCESS_READ)
        header = _Header(*_HEADER.unpack_from(content))
        sizes = header.merkle, header.rows, header.heap, header.facts
        is_whole = header.magic == _MAGIC and _HEADER.size + sum(sizes) == len(content)
        if not is_whole or header.digest != _digest(file, sizes):
            raise DamagedIndexError(str(path))
    return _index(content, header, path, number)


def _index(content: mmap, header: _Header, path: Path, number: int) -> LayerIndex:
    rows_at = _HEADER.size + header.merkle
    heap_at = rows_at + header.rows
    diff_id, facts = json.loads(content[heap_at + header.heap :])
    records = Rows(
        memoryview(content)[rows_at:heap_at],
        content,
        heap_start=heap_at,
        facts=[_elf_from_json(elf) for elf in facts],
        number=number,
        merkle=memoryview(content)[_HEADER.size : rows_at],
    )
    return LayerIndex(diff_id=diff_id, records=records, path=path)


def _digest(file: BinaryIO, sizes: tuple[int, int, int, int]) -> bytes:
    """Return the SHA-256 of the parts and their sizes, read: a bad disk would kill a process that maps it."""
    content = hashlib.sha256()
    file.seek(_HEADER.size)
    while chunk := file.read(_CHUNK_SIZE):
        content.update(chunk)
    content.update(_SIZES.pack(*sizes))
    return content.digest()


def _elf_from_json(values: list[Any]) -> ElfFacts:
    plain: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    return ElfFacts(**dict(zip(_ELF_FIELDS, plain, strict=True)))
