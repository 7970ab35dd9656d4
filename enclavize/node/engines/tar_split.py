"""Archives of layers, put together from their lists and their unpacked files (github.com/vbatts/tar-split).

A list is JSON, an object a line, in gzip: ``{"type": 2, "payload": BASE64}`` is a piece of the archive, and
``{"type": 1, "name": TEXT or "name_raw": BASE64, "size": BYTES}`` the data of a file. Nothing of it is
believed: who reads the archive compares its digest. No link is followed on the way to a file.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.node.engines.pieces import PieceReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE, _SEGMENT = 1, 2
_MAX_LINE = 64 << 20
_CHUNK = 1 << 20
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DATA = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def assembled(split: Path, folder: Path, what: str) -> PieceReader:
    """Return the archive whose list is ``split``, with the files in ``folder``.

    Reading raises InvalidImageError, and IntegrityError for files that are not as they were.
    """
    return PieceReader(_pieces(split, folder, what))


def assembled_size(split: Path) -> int:
    """Return the bytes of the archive. Raises InvalidImageError."""
    return sum(
        entry.get("size") or 0 if entry["type"] == _FILE else len(_decoded(entry, "payload", split))
        for entry in _entries(split)
    )


def _pieces(split: Path, folder: Path, what: str) -> Iterator[bytes]:
    top = os.open(folder, _DIRECTORY)
    try:
        for entry in _entries(split):
            if entry["type"] == _SEGMENT:
                yield _decoded(entry, "payload", split)
            elif entry.get("size"):
                yield from _data(top, _name(entry, split), entry["size"], what)
    finally:
        os.close(top)


def _data(top: int, name: bytes, size: int, what: str) -> Iterator[bytes]:
    path = name.decode(errors="backslashreplace")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or b"\0" in name:
        raise InvalidImageError(f"{what} has a file with the name {path[:100]!r}")
    folders = [top]
    try:
        for part in parts[:-1]:
            folders.append(os.open(part, _DIRECTORY, dir_fd=folders[-1]))
        with os.fdopen(os.open(parts[-1], _DATA, dir_fd=folders[-1]), "rb", buffering=0) as file:
            while size and (data := file.read(min(size, _CHUNK))):
                size -= len(data)
                yield data
    except OSError as error:
        raise IntegrityError(f"{what}: the file {path[:200]!a} cannot be read: {error.strerror}") from error
    finally:
        for folder in folders[1:]:
            os.close(folder)
    if size:
        raise IntegrityError(f"{what}: the file {path[:200]!a} is shorter than it was")


def _entries(split: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(split, "rb") as lines:
            while line := lines.readline(_MAX_LINE):
                entry = json.loads(line)
                size = entry.get("size") or 0 if isinstance(entry, dict) else -1
                if not isinstance(size, int) or size < 0 or entry.get("type") not in (_FILE, _SEGMENT):
                    raise InvalidImageError(f"{split} is not what tar-split writes")
                yield entry
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InvalidImageError(f"{split} cannot be read: {error}") from error


def _name(entry: dict[str, Any], split: Path) -> bytes:
    """Return the name of a file: as it is if it is no UTF-8, or else as text."""
    if entry.get("name_raw"):
        return _decoded(entry, "name_raw", split)
    name = entry.get("name")
    with suppress(UnicodeEncodeError):  # JSON has surrogates by their numbers
        return name.encode() if isinstance(name, str) else b""
    raise InvalidImageError(f"{split} is not what tar-split writes")


def _decoded(entry: dict[str, Any], key: str, split: Path) -> bytes:
    with suppress(ValueError, TypeError):
        return base64.b64decode(entry.get(key) or "", validate=True)
    raise InvalidImageError(f"{split} is not what tar-split writes")
