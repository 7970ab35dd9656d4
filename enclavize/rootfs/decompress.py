"""Inflate a layer as it comes, a bounded piece at a time.

Which compression it is, is read from the first bytes, as containerd and docker do: media types are often
wrong. OCI knows gzip and zstd; xz and bzip2 are what docker and podman take besides (moby, pkg/archive,
``DecompressStream``).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from enclavize.errors import InvalidImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

INPUT_SIZE = 512 << 10
OUTPUT_SIZE = 512 << 10
"""Most bytes of one piece. Each is handed from thread to thread: with 256 KiB, that cost a build 5 % more."""

MAX_ZSTD_WINDOW = 1 << 27
"""Largest window that is accepted, in bytes: the default limit of the zstd library."""

_GZIP_WINDOW_BITS = 31
"""zlib.h, inflateInit2: 15 for the window, 16 for the gzip format."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\0"

MAX_XZ_MEMORY = 192 << 20
"""Bytes that a decoder may take: more than any level of xz(1) needs, and its largest dictionaries do not."""


class Stream(Protocol):
    """The part of a binary file that is needed here."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""
        ...


def decompressed(stream: Stream, what: str) -> Generator[bytes, None, None]:
    """Yield the content of a layer in pieces of at most OUTPUT_SIZE. Raises InvalidImageError."""
    head = stream.read(INPUT_SIZE)
    if head.startswith(_GZIP):
        yield from _inflated(head, stream, what)
    elif head.startswith(_ZSTD) or _is_skippable_frame(head):
        yield from _zstd_decompressed(head, stream, what)
    elif head.startswith(_BZIP2):
        yield from _decoded(head, stream, what, _bzip2())
    elif head.startswith(_XZ):
        yield from _decoded(head, stream, what, _xz())
    else:
        while head:
            yield head
            head = stream.read(OUTPUT_SIZE)


def _inflated(data: bytes, stream: Stream, what: str) -> Generator[bytes, None, None]:
    """Yield the content of one or more gzip members (RFC 1952)."""
    decompressobj, codec_error = _inflater()
    while data:
        if not data.startswith(_GZIP[: len(data)]):
            raise InvalidImageError(f"{what} has bytes after its gzip data")
        member = decompressobj(_GZIP_WINDOW_BITS)
        while not member.eof:
            try:
                piece = member.decompress(data, OUTPUT_SIZE)
            except codec_error as error:
                raise InvalidImageError(f"{what} is damaged gzip data: {error}") from error
            if piece:
                yield piece
            data = member.unconsumed_tail
            # A full piece may have left more inside, which comes without new input.
            if not data and len(piece) < OUTPUT_SIZE and not member.eof:
                data = stream.read(INPUT_SIZE)
                if not data:
                    raise InvalidImageError(f"{what} is truncated gzip data")
        data = member.unused_data or stream.read(INPUT_SIZE)
        if len(data) == 1:
            data += stream.read(INPUT_SIZE)


def _inflater() -> tuple[Callable[[int], Any], type[Exception]]:
    """Return the constructor of a zlib.decompressobj and what it raises. ISA-L is twice as fast."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj, zlib.error
    return isal_zlib.decompressobj, cast("type[Exception]", isal_zlib.error)


@dataclass(frozen=True, kw_only=True)
class _Codec:
    """A decoder of Python's library, which reads one stream of several that may follow each other."""

    name: str
    magic: bytes
    decoder: Callable[[], Any]
    errors: tuple[type[Exception], ...]
    padding: bytes = b""
    """What may stand between streams and behind the last one."""


def _bzip2() -> _Codec:
    import bz2

    return _Codec(name="bzip2", magic=_BZIP2, decoder=bz2.BZ2Decompressor, errors=(OSError, EOFError))


def _xz() -> _Codec:
    import lzma

    def decoder() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_XZ_MEMORY)

    return _Codec(name="xz", magic=_XZ, decoder=decoder, errors=(lzma.LZMAError, EOFError), padding=b"\0")


def _decoded(data: bytes, stream: Stream, what: str, codec: _Codec) -> Generator[bytes, None, None]:
    """Yield the content of one or more streams."""
    while data:
        if not data.startswith(codec.magic):
            raise InvalidImageError(f"{what} has bytes after its {codec.name} data")
        decoder = codec.decoder()
        while not decoder.eof:
            try:
                piece = decoder.decompress(data, OUTPUT_SIZE)
            except codec.errors as error:
                raise InvalidImageError(f"{what} is damaged {codec.name} data: {error}") from error
            if piece:
                yield piece
            data = b""
            if decoder.needs_input and not decoder.eof:
                data = stream.read(INPUT_SIZE)
                if not data:
                    raise InvalidImageError(f"{what} is truncated {codec.name} data")
        data = decoder.unused_data.lstrip(codec.padding)
        while len(data) < len(codec.magic) and (more := stream.read(INPUT_SIZE)):
            data = (data + more).lstrip(codec.padding)


def _is_skippable_frame(head: bytes) -> bool:
    """Tell whether zstd data starts with a skippable frame (RFC 8878, section 3.1.2)."""
    return len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18"


def _zstd_decompressed(head: bytes, stream: Stream, what: str) -> Generator[bytes, None, None]:
    """Yield the content of zstd frames. It is the tar reader who notices a last frame that is cut short."""
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
    try:
        with decoder.stream_reader(
            cast("IO[bytes]", _Prepended(head, stream)),
            read_size=INPUT_SIZE,
            read_across_frames=True,
            closefd=False,
        ) as reader:
            while piece := reader.read(OUTPUT_SIZE):
                yield piece
    except zstandard.ZstdError as error:
        raise InvalidImageError(f"{what} is damaged zstd data: {error}") from error


class _Prepended:
    """A stream after some of its bytes were put back."""

    def __init__(self, head: bytes, stream: Stream) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head or self._stream.read(size)
