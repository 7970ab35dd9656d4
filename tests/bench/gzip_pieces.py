"""gzip by all processors, as podman's pgzip does it, of pieces that fit into several streams.

Each piece is deflated in blocks, which know the bytes before them and end at a byte (RFC 1951; zlib's
Z_SYNC_FLUSH). So pieces can be put behind each other without being deflated again.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from typing import IO

LEVEL = 6
_BLOCK = 1 << 20
_WINDOW = 1 << 15
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LAST_BLOCK = b"\x03\0"


def deflate_piece(source: IO[bytes], path: Path) -> None:
    """Deflate all of ``source`` into a file that is no stream yet."""
    workers = len(os.sched_getaffinity(0))
    waiting: deque[Future[bytes]] = deque()
    before = b""
    with path.open("wb") as output, ThreadPoolExecutor(workers) as pool:
        while block := source.read(_BLOCK):
            waiting.append(pool.submit(_deflated, block, before))
            before = block[-_WINDOW:]
            if len(waiting) > 2 * workers:
                output.write(waiting.popleft().result())
        output.writelines(future.result() for future in waiting)


def _deflated(block: bytes, before: bytes) -> bytes:
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    return compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH)


def join_pieces(pieces: Sequence[Path], path: Path) -> None:
    """Write the gzip stream of what the pieces hold, one behind the other."""
    checksum, size = 0, 0
    with path.open("wb") as output:
        output.write(_HEADER)
        for piece in pieces:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            for data in _blocks(piece):
                output.write(data)
                inflated = inflater.decompress(data)
                checksum, size = zlib.crc32(inflated, checksum), size + len(inflated)
        output.write(_LAST_BLOCK + struct.pack("<II", checksum, size & 0xFFFFFFFF))


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while data := stream.read(_BLOCK):
            yield data
