"""Both builds of the native library, with the SHA extensions and without, give what hashlib gives."""

from __future__ import annotations

from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest

from enclavize.rootfs import accelerator, native_code, native_erofs, native_merge, native_scan
from enclavize.rootfs.verity import hash_blocks
from support.images import file, tar_of
from support.layer_readers import read_by_reference, read_layer
from support.programs import need_native
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHED = (
    native_scan._library,
    native_merge._library,
    native_erofs._library,
    accelerator.native_hash_blocks,
    native_code._function,
    accelerator.native_undefined_names,
)

EDGES = (0, 1, 55, 56, 63, 64, 65, 119, 120, 4095, 4096, 4097, 8192, 128 * 4096, 128 * 4096 + 1)


@pytest.fixture(params=[accelerator.LIBRARY, accelerator.PORTABLE_LIBRARY], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Take one of the libraries, as on a machine that it is for."""
    name: str = request.param
    need_native(name)
    if name == accelerator.PORTABLE_LIBRARY:
        monkeypatch.setattr(accelerator, "_cpu_flags", frozenset)
    elif not accelerator._cpu_flags() >= accelerator.CPU_FLAGS:
        pytest.skip(f"{name} is not for this CPU")
    for cached in CACHED:
        cached.cache_clear()
    assert native_scan.is_available()
    yield name
    monkeypatch.undo()
    for cached in CACHED:
        cached.cache_clear()


def test_the_library_is_the_one_for_the_processor(library: str) -> None:
    found = accelerator.native_library("enclavize_scan_new")
    assert found is not None
    assert found._name.endswith(f"/{library}")


def test_files_of_all_lengths_have_their_digests() -> None:
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    lengths = [*EDGES, *(random.randrange(9000) for _ in range(scaled(20_000)))]
    data = tar_of([file(f"{number}", random.randbytes(size)) for number, size in enumerate(lengths)])
    assert read_layer(data, random) == read_by_reference(data, random)


def test_blocks_have_their_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(1)
    for size in EDGES:
        data = random.randbytes(size)
        native = hash_blocks(data)
        with monkeypatch.context() as patch:
            patch.setattr("enclavize.rootfs.verity.native_hash_blocks", lambda: None)
            assert native == hash_blocks(data)
