"""The 512 bytes before a member of a tar archive: ustar, GNU's and that of Unix V7.

What is accepted here is what Go's archive/tar reads, since container engines read layers with it; all else is
refused, and so is what other common readers (GNU tar, libarchive) would read in another way.

Sources: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"; tar(5) of
libarchive.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple
from zlib import adler32

RECORD_SIZE = 512

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155s12x")
_CHECKSUM = slice(148, 156)
_V7_TAIL, _V7_END = slice(257, 329), slice(345, RECORD_SIZE)
"""Zero in headers of Unix V7; GNU tar writes numbers of a device between them, which are zero too."""
_STAR_TRAILER = slice(508, RECORD_SIZE)

_USTAR_MAGIC = b"ustar\0"
"""Whatever version follows: Archive::Tar of Perl writes another one than POSIX has."""
_GNU_MAGIC = b"ustar  \0"
_STAR_MARK = b"tar\0"

_BINARY, _NEGATIVE = 0x80, 0x40
_MAX_NUMBER = (1 << 63) - 1


class TarFormatError(ValueError):
    """What is wrong with an archive: a sentence without its subject."""


class Header(NamedTuple):
    """All fields. ``name`` includes the prefix; ``size`` is what stands there, whatever the type."""

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    link: bytes
    major: int
    minor: int
    is_gnu: bool


def parse_header(record: bytes) -> Header:
    """Parse a header. Raises TarFormatError."""
    name, mode, uid, gid, size, mtime, checksum, kind, link, magic, major, minor, prefix = _HEADER.unpack(
        record
    )
    _check_sum(record, checksum)
    name = name.partition(b"\0")[0]
    if magic[:6] == _USTAR_MAGIC:
        if record[_STAR_TRAILER] == _STAR_MARK:
            # Go takes 131 bytes for the prefix, most others all 155.
            raise TarFormatError("is an archive of star, whose headers are read in different ways")
        if prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
    elif magic == _GNU_MAGIC:
        # There are two times in place of the prefix. If they are no numbers, Go takes them for a prefix.
        for time in (prefix[:12], prefix[12:24]):
            if time[0]:
                number(time, "a time of GNU's header")
    elif any(record[_V7_TAIL]) or any(record[_V7_END]) or (major + minor).strip(b"0 \0"):
        raise TarFormatError(f"has a header of an unknown tar format ({magic!r})")
    return Header(
        name,
        kind,
        _short_number(mode, "mode"),
        _short_number(uid, "uid"),
        _short_number(gid, "gid"),
        number(mtime, "mtime"),
        number(size, "size"),
        link.partition(b"\0")[0],
        _short_number(major, "device"),
        _short_number(minor, "device"),
        magic == _GNU_MAGIC,
    )


def _check_sum(record: bytes, field: bytes) -> None:
    stored = number(field, "checksum")
    # The lower half of Adler-32 is 1 + the sum, as long as that is below 65521 (RFC 1950, section 8.2).
    total = (adler32(record[:256]) & 0xFFFF) + (adler32(record[256:]) & 0xFFFF) - 2
    unsigned = total - sum(field) + len(field) * ord(" ")
    if stored != unsigned or field[0] & _BINARY:
        others = record[: _CHECKSUM.start] + record[_CHECKSUM.stop :]
        # Old tar programs added signed bytes.
        if field[0] & _BINARY or stored != unsigned - 256 * sum(byte > 127 for byte in others):
            raise TarFormatError("is not a tar archive, or has a damaged header (wrong checksum)")


def number(field: bytes, what: str) -> int:
    """Read a number: octal digits, or GNU's base-256 (first bit set, big-endian two's complement).

    Raises TarFormatError for anything else, and for numbers of more than 64 bits.
    """
    digits = field.strip(b" \0")
    if not digits.isdigit():
        if not digits:
            return 0
        if field[0] & _BINARY:
            return _binary(field, what)
        digits = digits.partition(b"\0")[0]
        if not digits.isdigit():  # a space at its end is one too much for Go
            raise _damaged(field, what)
    try:
        return int(digits, 8)
    except ValueError:
        raise _damaged(field, what) from None


def _binary(field: bytes, what: str) -> int:
    if field[0] & _NEGATIVE:
        value = int.from_bytes(field, "big", signed=True)
    else:
        value = int.from_bytes(field, "big") & ~(_BINARY << 8 * (len(field) - 1))
    if not -_MAX_NUMBER <= value <= _MAX_NUMBER:
        raise _damaged(field, what)
    return value


_short_number = lru_cache(1024)(number)
"""For fields of 8 bytes: owners, modes and devices are the same in most headers."""


def _damaged(field: bytes, what: str) -> TarFormatError:
    shown = field.strip(b" \0")
    return TarFormatError(f"has a damaged header ({what} is {shown!r})")
