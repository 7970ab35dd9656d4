"""The two readers of layers, the native one and its reference, on one archive."""

from __future__ import annotations

import hashlib
import io
import tempfile
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.oci.digest import Digest
from enclavize.rootfs import native_scan
from enclavize.rootfs.accelerator import PORTABLE_LIBRARY
from enclavize.rootfs.layer import scan_layer
from enclavize.rootfs.rows import RowWriter
from support.programs import need_native

if TYPE_CHECKING:
    from random import Random

LIMIT = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a reader finds in an archive, in bytes; or its error."""

    rows: bytes = b""
    heap: bytes = b""
    facts: str = ""
    merkle: bytes = b""
    error: str = ""


class _Pieces:
    """A stream that gives pieces of odd sizes."""

    def __init__(self, data: bytes, random: Random) -> None:
        self._data = data
        self._at = 0
        self._random = random

    def read(self, size: int, /) -> bytes:
        at = self._at
        self._at += min(size, self._random.choice((1, 63, 64, 511, 512, 513, 5000, 65_536, size)))
        return self._data[at : self._at]


def read_layer(data: bytes, random: Random, digest: str | None = None) -> Found:
    """Read an archive that counts as the one of a SHA-256; without it: of its own."""
    diff_id = Digest(f"sha256:{digest or hashlib.sha256(data).hexdigest()}")
    with tempfile.TemporaryFile() as merkle, closing(RowWriter(tempfile.TemporaryFile)) as records:
        merkle.write(b"before")
        merkle.flush()
        try:
            size = scan_layer(
                _Pieces(data, random),
                what="layer",
                number=0,
                diff_id=diff_id,
                limit=LIMIT,
                records=records,
                merkle=merkle,
            )
        except EnclavizeError as error:
            return Found(error=str(error))
        merkle.flush()
        merkle.seek(0)
        trees = merkle.read()
        rows = io.BytesIO()
        records.copy_to(rows)
    assert len(trees) == len(b"before") + size
    return Found(
        rows=rows.getvalue()[: records.rows_size],
        heap=rows.getvalue()[records.rows_size :],
        facts=str(records.facts),
        merkle=trees,
    )


def read_by_reference(data: bytes, random: Random, digest: str | None = None) -> Found:
    """Do the same without native code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_scan, "is_available", lambda: False)
        return read_layer(data, random, digest)


def need_native_reader() -> None:
    """Skip the test where there is none."""
    need_native(PORTABLE_LIBRARY)
    assert native_scan.is_available()
