"""Decompression: all forms a layer comes in, and bounded pieces."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys

import pytest
import zstandard

from enclavize.errors import InvalidImageError
from enclavize.rootfs.decompress import OUTPUT_SIZE, decompressed
from support.sample_tree import pattern

HUGE_DICTIONARY = {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}
DATA = pattern(300_000) + bytes(3 << 20)


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def _codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip("isal")


def read(blob: bytes) -> bytes:
    """Return the content; every piece is bounded."""
    pieces = list(decompressed(io.BytesIO(blob), "layer x"))
    assert all(0 < len(piece) <= OUTPUT_SIZE for piece in pieces)
    return b"".join(pieces)


SKIPPABLE = b"\x50\x2a\x4d\x18" + b"\x04\0\0\0" + b"note"


@pytest.mark.parametrize(
    "blob",
    [
        DATA,
        gzip.compress(DATA),
        b"".join(gzip.compress(DATA[at : at + 100_001]) for at in range(0, len(DATA), 100_001)),
        zstandard.compress(DATA),
        zstandard.compress(DATA[:1000]) + SKIPPABLE + zstandard.compress(DATA[1000:]),
        SKIPPABLE + zstandard.compress(DATA),
        lzma.compress(DATA),
        lzma.compress(DATA[:1000]) + bytes(8) + lzma.compress(DATA[1000:]) + bytes(4),
        lzma.compress(DATA, check=lzma.CHECK_SHA256, preset=9),
        bz2.compress(DATA),
        bz2.compress(DATA[:1000]) + bz2.compress(DATA[1000:]),
    ],
    ids=[
        "plain",
        "gzip",
        "gzip members",
        "zstd",
        "zstd frames",
        "zstd skippable",
        "xz",
        "xz streams",
        "xz -9",
        "bzip2",
        "bzip2 streams",
    ],
)
def test_all_forms_give_the_content(blob: bytes) -> None:
    assert read(blob) == DATA


def test_nothing_is_nothing() -> None:
    assert read(b"") == b""
    assert read(gzip.compress(b"")) == b""


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (gzip.compress(DATA)[:-9], "truncated"),
        (gzip.compress(DATA)[:5000], "truncated"),
        (gzip.compress(DATA) + b"tail", "bytes after"),
        (gzip.compress(DATA) + b"\x1f", "truncated|damaged|after"),
        (gzip.compress(DATA)[:-8] + b"\0\0\0\0\0\0\0\0", "damaged"),
        (gzip.compress(DATA)[:2000] + b"damage" + gzip.compress(DATA)[2006:], "damaged"),
        (lzma.compress(DATA)[:-1], "truncated xz"),
        (lzma.compress(DATA) + b"tail", "bytes after its xz"),
        (lzma.compress(DATA) + bytes(4) + b"tail", "bytes after its xz"),
        (lzma.compress(DATA)[:90] + b"damage" + lzma.compress(DATA)[96:], "damaged xz"),
        (
            lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]),
            "damaged xz .*limit",
        ),
        (b"BZh91AY", "damaged bzip2|truncated bzip2"),
        (bz2.compress(DATA)[:-1], "truncated bzip2"),
        (bz2.compress(DATA) + b"tail", "bytes after its bzip2"),
        (bz2.compress(DATA) + b"B", "bytes after its bzip2"),
        (bz2.compress(DATA)[:90] + b"damage" + bz2.compress(DATA)[96:], "damaged bzip2"),
        (zstandard.compress(DATA) + b"tail", "damaged zstd"),
        (zstandard.compress(DATA)[:4] + b"\xff" * 100, "damaged zstd"),
    ],
)
def test_damage_is_named(blob: bytes, message: str) -> None:
    with pytest.raises(InvalidImageError, match=f"^layer x .*({message})"):
        read(blob)
