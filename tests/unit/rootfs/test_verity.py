"""fs-verity digests and trees."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.rootfs import accelerator, verity
from enclavize.rootfs.verity import (
    BLOCK_SIZE,
    VerityStream,
    descriptor_digest,
    hash_blocks,
    level_sizes,
    tree_size,
    verity_of,
)
from support.programs import need_native
from support.sample_tree import pattern
from support.scale import scaled

SIZES = (0, 1, 4095, 4096, 4097, 8192, 524_288, 524_289, 3_000_000)


def test_known_digests() -> None:
    # fsverity digest (fsverity-utils 1.5) of an empty file and of "hello\n".
    assert verity_of(b"")[0].hex() == "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"
    root_hash = hashlib.sha256(b"hello\n".ljust(BLOCK_SIZE, b"\0")).digest()
    assert verity_of(b"hello\n") == (descriptor_digest(6, root_hash), b"")


def test_levels_stand_top_first_without_padding() -> None:
    assert level_sizes(4096) == ()
    assert level_sizes(4097) == (64,)
    assert level_sizes(524_289) == (2 * 32, 129 * 32)
    digest, tree = verity_of(pattern(524_289))
    level0 = hash_blocks(pattern(524_289))
    assert tree == hash_blocks(level0) + level0
    assert digest == descriptor_digest(524_289, hash_blocks(hash_blocks(level0)))


@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=scaled(400), deadline=None)
@given(cuts=st.lists(st.integers(min_value=1, max_value=1 << 20), max_size=20))
def test_a_stream_gives_what_memory_gives(size: int, cuts: list[int]) -> None:
    content = pattern(size)
    tree = bytearray(tree_size(size))

    def write(offset: int, hashes: bytes) -> None:
        assert offset + len(hashes) <= len(tree)
        tree[offset : offset + len(hashes)] = hashes

    stream = VerityStream(size, write)
    start = 0
    for cut in cuts:
        stream.update(content[start : start + cut])
        start += cut
    stream.update(memoryview(content)[start:])
    assert (stream.finish(), bytes(tree)) == verity_of(content)


@pytest.mark.parametrize("size", [65_536, 65_537, 100_000, 4096 * 33 + 1])
@pytest.mark.parametrize("start", [0, 1, 100])
def test_native_code_gives_what_python_gives(size: int, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    need_native(accelerator.PORTABLE_LIBRARY)
    native = accelerator.native_hash_blocks()
    assert native is not None
    data = memoryview(pattern(200_000))[start : start + size]
    monkeypatch.setattr(verity, "native_hash_blocks", lambda: None)
    assert native(data) == hash_blocks(data)
    assert native(bytes(data)) == hash_blocks(data)


def test_missing_native_code_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "LIBRARY", "nothing.so")
    accelerator.native_hash_blocks.cache_clear()
    try:
        assert accelerator.native_hash_blocks() is None
        assert len(hash_blocks(pattern(100_000))) == 25 * 32
    finally:
        accelerator.native_hash_blocks.cache_clear()
