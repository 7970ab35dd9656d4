"""Blobs pass through memory that is used again: the kernel need not clear new pages for each piece."""

from __future__ import annotations

import hashlib
import resource
from typing import TYPE_CHECKING

from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import Digest
from enclavize.oci.stream import chunks, verified
from enclavize.rootfs.allocator import return_large_buffers

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 32 << 20
PAGE = 4096


def test_pieces_of_a_blob_take_the_memory_of_those_before(tmp_path: Path) -> None:
    return_large_buffers()
    path = tmp_path / "blob"
    data = bytes(SIZE)
    path.write_bytes(data)
    digest = Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
    descriptor = Descriptor(media_type="application/octet-stream", digest=digest, size=SIZE)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    with verified(path.open("rb", buffering=0), descriptor, "blob") as stream:
        assert sum(map(len, chunks(stream))) == SIZE
    faults = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    print(f"{faults} page faults for {SIZE // PAGE} pages")
    assert faults < SIZE // PAGE // 4
