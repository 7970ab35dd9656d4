"""Read a tar stream: ustar, pax and GNU headers.

Python's tarfile takes four times as long per member, and takes a damaged header for the end of the archive; a
layer must be read whole or refused. Rules follow Go's archive/tar, which container engines use.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual,
"Basic Tar Format"; star(5) for ``SCHILY.xattr``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from enclavize.errors import InvalidImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RECORD_SIZE = 512
HEAD_SIZE = 64 << 10
"""The first piece of a member's data has this many bytes, or all."""

MAX_EXTENSION_SIZE = 1 << 20
"""Most bytes of the pax headers and GNU long names of one member."""

MAX_XATTR_SIZE = 64 << 10
"""Most bytes of all xattr names and values of one member."""

REGULAR, HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO = (b"%d" % n for n in range(7))

_OLD_REGULAR, _CONTIGUOUS = b"\0", b"7"
_PAX_HEADER, _PAX_GLOBAL_HEADER = b"x", b"g"
_GNU_LONG_NAME, _GNU_LONG_LINK, _GNU_SPARSE = b"L", b"K", b"S"

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_ZERO_RECORD = bytes(RECORD_SIZE)
_USTAR_MAGIC = b"ustar\x0000"
_XATTR_KEY = "SCHILY.xattr."
_NO_XATTRS: Mapping[str, bytes] = {}


class Member(NamedTuple):
    """One header. ``size`` is that of the data, 0 unless the member is a regular file."""

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    link: bytes
    rdev: tuple[int, int]
    xattrs: Mapping[str, bytes]


class TarReader:
    """Iterate over members; :meth:`pieces` gives the data of the latest one, what is not read is skipped."""

    def __init__(self, chunks: Iterator[bytes], what: str) -> None:
        self._chunks = chunks
        self._what = what
        self._chunk = b""
        self._at = 0
        self._data_left = 0
        self._padding = 0
        self._name = b""

    def __iter__(self) -> Iterator[Member]:
        extensions: dict[str, bytes] = {}
        extension_size = 0
        while (record := self._next_record()) is not None:
            fields = _HEADER.unpack(record)
            kind = fields[7]
            match kind:
                case b"x" | b"g" | b"L" | b"K":
                    size = self._number(fields[4], "size")
                    extension_size += max(size, 0)
                    if not 0 <= size <= extension_size <= MAX_EXTENSION_SIZE:
                        raise self._error(f"has an extended header of {extension_size} bytes")
                    data = self._read(size + -size % RECORD_SIZE)[:size]
                    if kind == _PAX_HEADER:
                        extensions |= self._pax_records(data)
                    elif kind == _GNU_LONG_NAME:
                        extensions.setdefault("path", data.rstrip(b"\0"))
                    elif kind == _GNU_LONG_LINK:
                        extensions.setdefault("linkpath", data.rstrip(b"\0"))
                case _:
                    yield self._member(fields, extensions)
                    extensions = {}
                    extension_size = 0
        if extensions:
            raise self._error("ends after an extended header")

    def pieces(self) -> Iterator[memoryview]:
        """Yield the data of the current member; the first piece has at least 64 KiB, or all of it."""
        first = min(self._data_left, HEAD_SIZE)
        if first > 0 and len(self._chunk) - self._at < first:
            self._data_left -= first
            yield memoryview(self._read(first))
        while self._data_left:
            if self._at == len(self._chunk) and not self._fill():
                raise self._error(f"ends inside {self._shown(self._name)}")
            piece = memoryview(self._chunk)[self._at : self._at + self._data_left]
            self._at += len(piece)
            self._data_left -= len(piece)
            yield piece

    def _next_record(self) -> bytes | None:
        """Return the next header, or None at the end of the archive."""
        for _ in self.pieces():
            pass
        self._skip_padding()
        if self._at == len(self._chunk) and not self._fill():
            return None
        record = self._read(RECORD_SIZE)
        if record == _ZERO_RECORD:
            if (self._at < len(self._chunk) or self._fill()) and self._read(RECORD_SIZE) != _ZERO_RECORD:
                raise self._error("has a header after its end mark")
            return None
        stored = self._number(record[_CHECKSUM], "checksum")
        others = record[: _CHECKSUM.start] + record[_CHECKSUM.stop :]
        unsigned = sum(others) + 8 * ord(" ")
        # Old tar programs added signed bytes.
        if stored != unsigned and stored != unsigned - 256 * sum(byte > 127 for byte in others):
            raise self._error("is not a tar archive, or has a damaged header (wrong checksum)")
        return record

    def _member(self, fields: tuple[bytes, ...], extensions: dict[str, bytes]) -> Member:
        name, mode, uid, gid, size, mtime, _, kind, link, magic, _, _, major, minor, prefix = fields
        name = name.partition(b"\0")[0]
        # GNU's magic is another one, and uses the place of the prefix for times.
        if magic[:6] == _USTAR_MAGIC[:6] and prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
        link = link.partition(b"\0")[0]
        xattrs = _NO_XATTRS
        numbers = [self._number(field, what) for field, what in ((uid, "uid"), (gid, "gid"), (size, "size"))]
        seconds = self._number(mtime, "mtime")
        if extensions:
            name = extensions.get("path") or name
            link = extensions.get("linkpath") or link
            for position, key in enumerate(("uid", "gid", "size")):
                if value := extensions.get(key):
                    numbers[position] = self._decimal(value, key)
            if value := extensions.get("mtime"):
                seconds = self._pax_time(value)
            xattrs = self._xattrs(extensions)
        self._name = name
        if any(key.startswith("GNU.sparse.") for key in extensions) or kind == _GNU_SPARSE:
            raise self._error(f"has the sparse file {self._shown(name)}; store it as an ordinary file")
        if kind in {_OLD_REGULAR, _CONTIGUOUS}:
            kind = DIRECTORY if kind == _OLD_REGULAR and name.endswith(b"/") else REGULAR
        if not REGULAR <= kind <= FIFO:
            raise self._error(f"has a member of unknown type {kind!r}: {self._shown(name)}")
        if min(numbers) < 0:
            raise self._error(f"has a negative number in the header of {self._shown(name)}")
        data_size = numbers[2] if kind == REGULAR else 0
        self._data_left = data_size
        self._padding = -data_size % RECORD_SIZE
        device = kind in {CHARACTER_DEVICE, BLOCK_DEVICE}
        return Member(
            name,
            kind,
            self._number(mode, "mode") & 0o7777,
            numbers[0],
            numbers[1],
            seconds,
            data_size,
            link,
            (self._number(major, "device"), self._number(minor, "device")) if device else (0, 0),
            xattrs,
        )

    def _number(self, field: bytes, what: str) -> int:
        """Read a number: octal digits, or GNU's base-256 (first bit set, big-endian two's complement)."""
        if field[0] & 0x80:
            if field[0] & 0x40:
                return int.from_bytes(field, "big", signed=True)
            return int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
        digits = field.strip(b" \0").partition(b"\0")[0]
        if not digits:
            return 0
        if digits.strip(b"01234567"):
            raise self._error(f"has a damaged header ({what} is {digits!r})")
        return int(digits, 8)

    def _decimal(self, value: bytes, what: str) -> int:
        if not value.isdigit() or len(value) > 20:
            raise self._error(f"has a damaged pax header ({what} is {value[:40]!r})")
        return int(value)

    def _pax_time(self, value: bytes) -> int:
        """Return whole seconds, rounded down as the kernel does; pax times are decimal fractions."""
        whole, _, fraction = value.partition(b".")
        seconds = self._decimal(whole.removeprefix(b"-"), "mtime")
        if fraction:
            self._decimal(fraction[:20], "mtime")
        if not value.startswith(b"-"):
            return seconds
        return -seconds - bool(fraction.strip(b"0"))

    def _pax_records(self, data: bytes) -> dict[str, bytes]:
        """Split ``length key=value newline`` records."""
        records = {}
        at = 0
        while at < len(data):
            digits, space, _ = data[at : at + 21].partition(b" ")
            end = at + int(digits) if digits.isdigit() and space else 0
            key, equals, value = data[at + len(digits) + 1 : end].partition(b"=")
            if not at < end <= len(data) or not equals or not key or not value.endswith(b"\n"):
                raise self._error("has a damaged pax header")
            records[key.decode("utf-8", "surrogateescape")] = value[:-1]
            at = end
        return records

    def _xattrs(self, extensions: dict[str, bytes]) -> Mapping[str, bytes]:
        xattrs = {
            key[len(_XATTR_KEY) :]: value for key, value in extensions.items() if key.startswith(_XATTR_KEY)
        }
        if sum(len(name) + len(value) for name, value in xattrs.items()) > MAX_XATTR_SIZE:
            raise self._error(f"has more than {MAX_XATTR_SIZE} bytes of xattrs on one file")
        return xattrs

    def _read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes."""
        data = self._chunk[self._at : self._at + size]
        self._at += len(data)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing:
            if not self._fill():
                raise self._error(
                    f"ends inside {self._shown(self._name) if self._name else 'its first header'}"
                )
            parts.append(self._chunk[:missing])
            self._at = len(parts[-1])
            missing -= self._at
        return b"".join(parts)

    def _skip_padding(self) -> None:
        """Skip what fills the last record. It may be missing at the end: umoci 0.4 writes such layers."""
        while self._padding and (self._at < len(self._chunk) or self._fill()):
            skipped = min(self._padding, len(self._chunk) - self._at)
            self._at += skipped
            self._padding -= skipped
        self._padding = 0

    def _fill(self) -> bool:
        self._chunk = next(self._chunks, b"")
        self._at = 0
        return bool(self._chunk)

    def _error(self, problem: str) -> InvalidImageError:
        return InvalidImageError(f"{self._what} {problem}")

    @staticmethod
    def _shown(name: bytes) -> str:
        from enclavize.rootfs.entry import path_text, printable

        return printable(path_text(name))
