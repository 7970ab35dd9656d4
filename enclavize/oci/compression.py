"""Removing gzip and zstd from streams, in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from enclavize.errors import InvalidImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.media_types import Compression

MAX_ZSTD_WINDOW = 128 << 20
"""Bytes of history a zstd frame may ask for: as much as ``zstd --ultra`` needs."""


@contextmanager
def decompressed(stream: BinaryIO, compression: Compression, what: str) -> Iterator[BinaryIO]:
    """Give a stream without its compression. Damaged data raises InvalidImageError naming ``what``."""
    import zstandard

    try:
        match compression:
            case "none":
                yield stream
            case "gzip":
                with gzip.GzipFile(fileobj=stream, mode="rb") as inflated:
                    yield cast("BinaryIO", inflated)
            case "zstd":
                decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
                with decompressor.stream_reader(stream, read_across_frames=True, closefd=False) as inflated:
                    yield cast("BinaryIO", inflated)
    except (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError) as error:
        raise InvalidImageError(f"{what} is not valid {compression} data: {error}") from error
