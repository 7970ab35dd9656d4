"""The blob cache and the streams that verify."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.oci.cache import USERS, BlobCache, default_cache_root
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.storage import atomic_file
from enclavize.oci.stream import CHUNK_SIZE, chunks, ensure_verified, verified

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 10_000


def describe(data: bytes) -> Descriptor:
    """Return the descriptor of some bytes."""
    return Descriptor(media_type="x/y", digest=sha256_digest(data), size=len(data))


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    """An empty cache."""
    return BlobCache(tmp_path / "blobs")


def store(cache: BlobCache, data: bytes) -> Descriptor:
    """Put a blob into the cache."""
    with cache.writer() as writer:
        writer.write(data)
    return describe(data)


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_root() == tmp_path / "enclavize" / "blobs"


def test_what_was_written_is_read(cache: BlobCache) -> None:
    descriptor = store(cache, DATA)
    assert cache.has(descriptor.digest)
    with cache.open(descriptor) as stream:
        assert stream.read() == DATA
    assert cache.path(descriptor.digest).stat().st_mode & 0o777 == 0o444


def test_a_blob_with_another_digest_is_not_kept(cache: BlobCache) -> None:
    with pytest.raises(IntegrityError), cache.writer(sha256_digest(b"other")) as writer:
        writer.write(DATA)
    assert not any(path.is_file() for path in cache.root.rglob("*") if path.parent.name != USERS)


def test_a_writer_that_fails_leaves_nothing(cache: BlobCache) -> None:
    writer = cache.writer()
    writer.write(DATA)
    writer.__exit__(KeyError, KeyError(), None)
    assert not any(path.is_file() for path in cache.root.rglob("*") if path.parent.name != USERS)


@pytest.mark.parametrize("position", [0, 1000, len(DATA) - 1])
def test_a_flipped_bit_is_noticed_and_the_blob_removed(cache: BlobCache, position: int) -> None:
    descriptor = store(cache, DATA)
    path = cache.path(descriptor.digest)
    changed = bytearray(DATA)
    changed[position] ^= 1
    path.chmod(0o644)
    path.write_bytes(changed)
    with pytest.raises(IntegrityError, match="was damaged"), cache.open(descriptor) as stream:
        stream.read()
    assert not cache.has(descriptor.digest)


def test_an_abandoned_file_is_removed_and_a_living_one_is_not(cache: BlobCache) -> None:
    living = cache.writer()
    with living:
        living.write(b"living")
        abandoned = cache.temporary_folder / "abandoned"
        abandoned.write_bytes(b"left by a killed build")
        fresh = BlobCache(cache.root)
        store(fresh, b"next")
        assert not abandoned.exists()
        assert len(list(cache.temporary_folder.iterdir())) == 1
    assert cache.has(sha256_digest(b"living"))


def test_many_writers_of_one_blob_do_no_harm(cache: BlobCache) -> None:
    barrier = threading.Barrier(8)

    def write() -> None:
        barrier.wait()
        store(BlobCache(cache.root), DATA)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with cache.open(describe(DATA)) as stream:
        assert stream.read() == DATA
    assert list(cache.temporary_folder.iterdir()) == []


def test_a_spool_has_no_name(cache: BlobCache) -> None:
    with cache.spool() as spool:
        spool.write(b"data")
        assert list(cache.temporary_folder.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE])
@pytest.mark.parametrize("step", [7919, CHUNK_SIZE, -1])
def test_a_verified_stream_gives_the_bytes(size: int, step: int) -> None:
    data = bytes(size)
    seen: list[int] = []
    with verified(io.BytesIO(data), describe(data), "x", advance=seen.append) as stream:
        parts = []
        while part := stream.read(step):
            parts.append(part)
    assert b"".join(parts) == data
    assert sum(seen) == size


@pytest.mark.parametrize(
    ("changed", "message"), [(DATA[:-1], "ends after 2559999 of"), (DATA + b"!", "is longer than 2560000")]
)
@pytest.mark.parametrize("buffering", [0, -1])
def test_the_size_of_a_file_is_checked_before_it_is_read(
    tmp_path: Path, changed: bytes, message: str, buffering: int
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(changed)
    stream = path.open("rb", buffering=buffering)
    with pytest.raises(IntegrityError, match=message):
        verified(stream, describe(DATA), "blob")
    assert stream.closed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (DATA[:-1], "ends after 2559999 of 2560000 bytes"),
        (DATA + b"!", "is longer than 2560000 bytes"),
        (DATA[:-1] + b"!", "has digest"),
        (b"", "ends after 0"),
    ],
)
def test_a_verified_stream_refuses_other_bytes_before_it_gives_the_last(changed: bytes, message: str) -> None:
    given = bytearray()
    stream = verified(io.BytesIO(changed), describe(DATA), "blob")
    with stream, pytest.raises(IntegrityError, match=message):
        given.extend(byte for part in chunks(stream) for byte in part)
    assert len(given) < len(DATA)


def test_only_a_stream_that_verifies_the_same_blob_is_not_verified_again(cache: BlobCache) -> None:
    with cache.open(store(cache, DATA)) as stream:
        assert ensure_verified(stream, describe(DATA), "blob") is stream
    for other in (cache.open(describe(DATA)), io.BytesIO(DATA)):
        wrapped = ensure_verified(other, describe(DATA[:-1] + b"!"), "blob")
        with wrapped, pytest.raises(IntegrityError, match="has digest"):
            wrapped.read()


class Sink:
    """Remembers what happened to it."""

    def __init__(self) -> None:
        self.data = b""
        self.end: list[str] = []

    def write(self, data: bytes | memoryview) -> None:
        """Take bytes."""
        self.data += data

    def commit(self, digest: str) -> None:
        """Note the commit."""
        self.end.append(digest)

    def abort(self) -> None:
        """Note the abort."""
        self.end.append("abort")


def test_a_copy_is_committed_only_when_all_was_read() -> None:
    sink = Sink()
    with verified(io.BytesIO(DATA), describe(DATA), "x", sink=sink) as stream:
        assert stream.read() == DATA
    assert sink.data == DATA
    assert sink.end[0] == sha256_digest(DATA)
    sink = Sink()
    with verified(io.BytesIO(DATA), describe(DATA), "x", sink=sink) as stream:
        stream.read(10)
    assert sink.end == ["abort"]


def test_an_atomic_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(TypeError), atomic_file(path) as stream:
        stream.writelines([b"half", None])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []
    with atomic_file(path, mode=0o600) as stream:
        stream.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(EnclavizeError, match="No space left on device") as caught,
        atomic_file(tmp_path / "f"),
    ):
        raise OSError(28, "No space left on device")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []
