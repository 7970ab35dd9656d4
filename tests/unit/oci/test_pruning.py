"""Pruning removes the least recently used, and nothing that is in use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from enclavize.oci.cache import BlobCache
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.pruning import ItemKind, cached_items, prune
from enclavize.oci.storage import atomic_file
from enclavize.oci.unpacked import in_use, lock_of, unpacked_folder

if TYPE_CHECKING:
    from pathlib import Path

DATA = os.urandom(100_000)

USER = """
import sys
from pathlib import Path
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import Digest
cache = BlobCache(Path(sys.argv[1]))
print(cache.has(Digest(sys.argv[2])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a cache that nobody uses."""
    return tmp_path / "cache" / "blobs"


def store(root: Path, data: bytes, *, age: float = 0.0) -> Descriptor:
    """Put a blob into the cache that was used ``age`` seconds ago."""
    cache = BlobCache(root)
    with cache.writer() as writer:
        writer.write(data)
    descriptor = Descriptor(media_type="application/octet-stream", digest=sha256_digest(data), size=len(data))
    used = time.time() - age
    os.utime(cache.path(descriptor.digest), (used, used))
    return descriptor


def unpacked(root: Path, name: str, *, age: float = 0.0) -> Path:
    """Play an unpacked image."""
    tree = unpacked_folder(BlobCache(root)) / name
    tree.mkdir(parents=True)
    (tree / "file").write_bytes(DATA)
    lock_of(tree).write_text(str(len(DATA)))
    used = time.time() - age
    os.utime(lock_of(tree), (used, used))
    return tree


def test_an_empty_cache_has_nothing(root: Path) -> None:
    assert cached_items(BlobCache(root)) == []
    assert prune(BlobCache(root)) == ([], [])
    assert not root.parent.exists()


def test_each_kind_is_listed_with_its_size_and_its_last_use(root: Path) -> None:
    store(root, DATA, age=40)
    for folder, name in (("index", "abc-5"), ("results", "abc.json")):
        (root / folder).mkdir()
        with atomic_file(root / folder / name) as file:
            file.write(DATA)
    (root / "index/abc.lock").touch()
    os.utime(root / "index/abc-5", (time.time() - 30,) * 2)
    os.utime(root / "results/abc.json", (time.time() - 20,) * 2)
    unpacked(root, "abc", age=10)
    items = cached_items(BlobCache(root))
    assert [item.kind for item in items] == [
        ItemKind.BLOB, ItemKind.INDEX, ItemKind.RESULT, ItemKind.UNPACKED,
    ]  # fmt: skip
    assert all(len(DATA) <= item.size < len(DATA) + 8192 for item in items)
    assert not any(item.in_use for item in items)


def test_the_least_recently_used_go_first_and_no_more_than_needed(root: Path) -> None:
    blobs = [store(root, bytes([number]) * 10_000, age=100 - number) for number in range(3)]
    tree = unpacked(root, "tree", age=99.5)
    with BlobCache(root).open(blobs[0]) as stream:
        stream.read()
    total = sum(item.size for item in cached_items(BlobCache(root)))
    removed, left = prune(BlobCache(root), max_size=total - len(DATA) - 1)
    assert [item.kind for item in removed] == [ItemKind.UNPACKED, ItemKind.BLOB]
    assert len(left) == 2
    assert not tree.exists()
    cache = BlobCache(root)
    assert [cache.has(blob.digest) for blob in blobs] == [True, False, True]


def test_what_is_younger_than_asked_for_stays(root: Path) -> None:
    old, young = store(root, b"old" * 2000, age=7200), store(root, b"young" * 2000, age=60)
    removed, _ = prune(BlobCache(root), unused_for=3600)
    assert [item.path.name for item in removed] == [old.digest.partition(":")[2]]
    assert BlobCache(root).has(young.digest)


def test_what_a_running_command_has_touched_stays_and_a_killed_one_holds_nothing(root: Path) -> None:
    old, used = store(root, b"old" * 2000, age=7200), store(root, b"used" * 2000, age=7200)
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(root), used.digest], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as command:
        assert command.stdout
        assert command.stdout.readline() == b"True\n"
        assert [item.in_use for item in cached_items(BlobCache(root))] == [False, True]
        prune(BlobCache(root))
        kept = [item.path.name for item in cached_items(BlobCache(root))]
        assert kept == [used.digest.partition(":")[2]]
        command.kill()
    assert old.digest not in kept
    prune(BlobCache(root))
    assert cached_items(BlobCache(root)) == []
    assert list((root / "users").iterdir()) == []


def test_an_unpacked_image_in_use_stays(root: Path) -> None:
    tree = unpacked(root, "tree", age=7200)
    with in_use(tree) as is_there:
        assert is_there
        [item] = cached_items(BlobCache(root))
        assert item.in_use
        assert prune(BlobCache(root)) == ([], [item])
    assert tree.exists()
    prune(BlobCache(root))
    assert not tree.exists()
    with in_use(tree) as is_there:
        assert not is_there


def test_what_a_killed_prune_left_goes(root: Path) -> None:
    root.mkdir(parents=True)
    left = unpacked_folder(BlobCache(root)) / ".removed-tree"
    (left / "folder").mkdir(parents=True)
    prune(BlobCache(root))
    assert not left.exists()


def test_a_blob_that_is_removed_while_it_is_read_stays_readable(root: Path) -> None:
    descriptor = store(root, DATA)
    with BlobCache(root).open(descriptor) as stream:
        BlobCache(root).path(descriptor.digest).unlink()
        assert stream.read() == DATA
