"""Blobs that are followed while they arrive, and a cache that is given up at once afterwards."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.oci.cache import USERS, BlobCache
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import Digest
from enclavize.oci.stream import verified

if TYPE_CHECKING:
    from pathlib import Path

DATA = os.urandom(3_000_000)
BLOB = Descriptor(
    media_type="x/y", digest=Digest(f"sha256:{hashlib.sha256(DATA).hexdigest()}"), size=len(DATA)
)
PATIENCE = 300


def test_a_follower_reads_what_is_there_and_waits_for_the_rest(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    arrival = cache.arrivals.begin(BLOB, cache.temporary_blob())
    followers = [cache.arrivals.follow(BLOB) for _ in range(2)]
    arrival.write(DATA[:1000])
    assert followers[0] is not None
    assert followers[0].read(1000) == DATA[:1000]
    with ThreadPoolExecutor(2) as pool:
        rest = [pool.submit(follower.read) for follower in followers if follower]
        arrival.write(DATA[1000:])
        assert not any(job.done() for job in rest), "the last byte comes after the check"
        arrival.commit(BLOB.digest)
        assert [job.result(PATIENCE) for job in rest] == [DATA[1000:], DATA]
    for follower in followers:
        assert follower is not None
        follower.close()
    assert cache.arrivals.follow(BLOB) is None
    assert cache.path(BLOB.digest).read_bytes() == DATA


def test_a_follower_of_what_is_thrown_away_gets_an_error(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    bad = bytes([DATA[0] ^ 1]) + DATA[1:]
    arrival = cache.arrivals.begin(BLOB, cache.temporary_blob())
    follower = cache.arrivals.follow(BLOB)
    assert follower is not None
    got = bytearray()
    failed = threading.Event()

    def follow() -> None:
        with follower:
            try:
                while data := follower.read(100_000):
                    got.extend(data)
            except EnclavizeError:
                failed.set()

    thread = threading.Thread(target=follow)
    thread.start()
    with (
        pytest.raises(EnclavizeError, match="digest"),
        verified(io.BytesIO(bad), BLOB, "x", sink=arrival) as stream,
    ):
        stream.read()
    thread.join(PATIENCE)
    assert failed.is_set()
    assert len(got) < len(DATA)
    assert not cache.path(BLOB.digest).exists()


def test_a_cache_is_given_up_without_the_collector(tmp_path: Path) -> None:
    gc.disable()
    try:
        cache = BlobCache(tmp_path)
        with verified(
            io.BytesIO(DATA), BLOB, "x", sink=cache.arrivals.begin(BLOB, cache.temporary_blob())
        ) as stream:
            stream.read()
        assert list((tmp_path / USERS).iterdir())
        del stream, cache
        assert not list((tmp_path / USERS).iterdir())
    finally:
        gc.enable()
