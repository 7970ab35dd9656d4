"""The PAL's look into the index of layers: what is there is found, and a damaged index harms nobody."""

from __future__ import annotations

import struct
import subprocess
from random import Random
from typing import TYPE_CHECKING

import pytest

from support.json_programs import sanitized
from support.programs import REPOSITORY
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FILES = {
    b"a": (0, 512, 70), b"a-b": (0, 1024, 71), b"a/b": (1, 512, 72), b"a/b/c": (1, 1 << 40, 1 << 33),
    b"a0": (2, 0, 65), b"b" * 300: (3, 99, 100), b"s\xff": (4, 1, 2),
}  # fmt: skip
OTHERS = (b"", b"A", b"a.", b"a/", b"a/b/", b"a/b/c/d", b"b", b"b" * 299, b"b" * 301, b"s\xfe", b"zz")


def index_of(files: Mapping[bytes, tuple[int, int, int]]) -> bytes:
    """Write an index as docs of rootfs/data_index.py say."""
    at = 24 + 32 * len(files)
    records = b""
    for path in sorted(files):
        layer, offset, size = files[path]
        records += struct.pack("<QQQIHxx", at, offset, size, layer, len(path))
        at += len(path)
    return struct.pack("<16sQ", b"enclavize data 1", len(files)) + records + b"".join(sorted(files))


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pal = REPOSITORY / "native" / "pal"
    sources = [REPOSITORY / "tests/native/pal/layer_index_probe.c", pal / "layer_index.c"]
    return sanitized(tmp_path_factory.mktemp("probe") / "layer_index_probe", sources, pal)


def looked_up(probe: Path, folder: Path, indexes: Sequence[bytes], paths: Sequence[bytes]) -> list[bytes]:
    """Return a line for each path of each index."""
    names = []
    for number, index in enumerate(indexes):
        names.append(folder / str(number))
        names[-1].write_bytes(index)
    done = subprocess.run(
        [probe, *names], input=b"".join(path + b"\n" for path in paths), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.splitlines()


def test_files_are_found_and_nothing_else(probe: Path, tmp_path: Path) -> None:
    paths = [*FILES, *OTHERS]
    expected = [b"%d %d %d" % FILES[path] for path in FILES] + [b"none"] * len(OTHERS)
    assert looked_up(probe, tmp_path, [index_of(FILES)], paths) == expected


def test_what_is_no_index_has_no_files(probe: Path, tmp_path: Path) -> None:
    index = index_of(FILES)
    too_many = index[:16] + struct.pack("<Q", 1 << 62) + index[24:]
    beyond = index_of({b"a": (0, (1 << 63) - 5, 6)})
    path_beyond = index[:24] + struct.pack("<Q", (1 << 64) - 1) + index[32:]
    odd = [b"", index[:23], b"E" + index[1:], too_many, beyond, path_beyond]
    assert looked_up(probe, tmp_path, odd, [b"a"]) == [b"none"] * len(odd)


def test_damaged_indexes_are_read_within_their_bounds(probe: Path, tmp_path: Path) -> None:
    random = Random(11)
    index = index_of(FILES)
    damaged = []
    for _ in range(scaled(20_000, least=500)):
        data = bytearray(index[: random.randrange(len(index) + 1)] if random.random() < 0.3 else index)
        for _ in range(random.randrange(1, 4) if data else 0):
            data[random.randrange(len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        damaged.append(bytes(data))
    paths = [*FILES, *OTHERS]
    for at in range(0, len(damaged), 500):
        part = damaged[at : at + 500]
        assert len(looked_up(probe, tmp_path, part, paths)) == len(part) * len(paths)
