"""What stands before the header of a tar member: pax records, or the long names of GNU tar.

A writer uses one of both. Readers disagree on which one wins where both are there, and on empty and repeated
values; so none of that is accepted. Otherwise the rules are those of Go's archive/tar, to which global
records are a member of their own that says nothing of others.

Sources: POSIX.1-2017, pax, "pax Interchange Format"; GNU tar manual, "Basic Tar Format"; star(5) for
``SCHILY.xattr``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.rootfs import sparse
from enclavize.rootfs.tar_header import TarFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

PAX_HEADER, PAX_GLOBAL_HEADER = b"x", b"g"
GNU_LONG_NAME, GNU_LONG_LINK = b"L", b"K"
KINDS = frozenset({PAX_HEADER, PAX_GLOBAL_HEADER, GNU_LONG_NAME, GNU_LONG_LINK})
"""Types of what is no member itself."""

MAX_XATTR_SIZE = 64 << 10
"""Most bytes of all xattr names and values of one member."""

_XATTR_KEY = b"SCHILY.xattr."
_STRINGS = frozenset({b"path", b"linkpath", b"uname", b"gname"})
_TIMES = (b"mtime", b"atime", b"ctime")
_NUMBERS = (b"uid", b"gid", b"size")
_NEVER_EMPTY = frozenset({b"path", b"linkpath", *_NUMBERS, *_TIMES})
_MIN_RECORD = len(b"5 k=\n")
_MAX_NUMBER = (1 << 63) - 1
_NO_XATTRS: Mapping[str, bytes] = {}
_NO_RECORDS: Mapping[bytes, bytes] = {}


class Extensions:
    """What the next member has besides its header; an attribute is None if its header counts."""

    __slots__ = ("_pax", "is_global", "link", "mtime", "name", "numbers", "sparse", "xattrs")

    def __init__(self) -> None:
        self._pax = False
        self.name: bytes | None = None
        self.link: bytes | None = None
        self.mtime: int | None = None
        self.numbers: Mapping[bytes, int] = {}
        """``uid``, ``gid`` and ``size``, where they are given."""
        self.xattrs: Mapping[str, bytes] = _NO_XATTRS
        self.sparse: Mapping[bytes, bytes] = _NO_RECORDS
        """What the records say of a file with holes."""
        self.is_global = False
        """Whether this is no member's, but a global pax header."""

    def take(self, kind: bytes, data: bytes) -> None:
        """Add the content of one header of a type of ``KINDS``. Raises TarFormatError."""
        is_first = self.name is None and self.link is None
        if self._pax or (kind in {PAX_HEADER, PAX_GLOBAL_HEADER} and not is_first):
            raise TarFormatError("has several extended headers before one member, read in different ways")
        match kind:
            case b"g":
                records = pax_records(data, may_be_empty=True)
                for key in _NEVER_EMPTY & {key for key, value in records.items() if not value}:
                    del records[key]
                self._take_records(records)
                self.is_global = True
            case b"x":
                self._take_records(pax_records(data))
                self._pax = True
            case b"L" if self.name is None:
                self.name = _gnu_long(data)
            case b"K" if self.link is None:
                self.link = _gnu_long(data)
            case _:
                raise TarFormatError("has two long names for one member")

    def _take_records(self, records: Mapping[bytes, bytes]) -> None:
        self.name, self.link = records.get(b"path"), records.get(b"linkpath")
        self.numbers = {key: _decimal(records[key], key) for key in _NUMBERS if key in records}
        for key in _TIMES:
            if key in records:
                seconds = pax_time(records[key], key)
                if key == b"mtime":
                    self.mtime = seconds
        self.sparse = {key: value for key, value in records.items() if key.startswith(sparse.PREFIX)}
        xattrs = {
            key[len(_XATTR_KEY) :].decode("utf-8", "surrogateescape"): value
            for key, value in records.items()
            if key.startswith(_XATTR_KEY)
        }
        if sum(len(name) + len(value) for name, value in xattrs.items()) > MAX_XATTR_SIZE:
            raise TarFormatError(f"has more than {MAX_XATTR_SIZE} bytes of xattrs on one file")
        self.xattrs = xattrs or _NO_XATTRS


def pax_records(data: bytes, *, may_be_empty: bool = False) -> dict[bytes, bytes]:
    """Split ``length key=value newline`` records. Raises TarFormatError.

    Of the extents of a file with holes in format 0.0, which are the only keys to stand more than once, the
    map of format 0.1 is made.
    """
    records: dict[bytes, bytes] = {}
    extents: list[bytes] = []
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 21].partition(b" ")
        size = int(digits) if digits.isdigit() and space else 0
        end = at + size
        key, equals, value = data[at + len(digits) + 1 : end].partition(b"=")
        if size < _MIN_RECORD or end > len(data) or not equals or not key or not value.endswith(b"\n"):
            raise TarFormatError("has a damaged pax header")
        value = value[:-1]
        at = end
        if key == (sparse.COUNT if len(extents) % 2 else sparse.OFFSET):
            extents.append(value)
            continue
        if key in records:
            raise TarFormatError(f"has a pax header with {_shown(key)} twice")
        if b"\0" in key or (key in _STRINGS and b"\0" in value):
            raise TarFormatError(f"has a pax header with a NUL in {_shown(key)}")
        if not value and key in _NEVER_EMPTY and not may_be_empty:
            raise TarFormatError(
                f"has a pax header with an empty {_shown(key)}, which is read in different ways"
            )
        records[key] = value
    if extents:
        if sparse.MAP in records:
            raise TarFormatError("has a pax header with two maps of a sparse file")
        records[sparse.MAP] = b",".join(extents)
    return records


def pax_time(value: bytes, key: bytes) -> int:
    """Return whole seconds, rounded down as the kernel does; pax times are decimal fractions.

    Nanoseconds count, what is less does not.
    """
    whole, _, fraction = value.partition(b".")
    seconds = _decimal(whole.removeprefix(b"-"), key)
    if fraction and not fraction.isdigit():
        raise _damaged(value, key)
    if not value.startswith(b"-"):
        return seconds
    return -seconds - bool(fraction[:9].strip(b"0"))


def _decimal(value: bytes, key: bytes) -> int:
    if not value.isdigit() or len(value) > 20 or (found := int(value)) > _MAX_NUMBER:
        raise _damaged(value, key)
    return found


def _damaged(value: bytes, key: bytes) -> TarFormatError:
    return TarFormatError(f"has a damaged pax header ({key.decode()} is {value[:40]!r})")


def _shown(key: bytes) -> str:
    return repr(key[:40].decode("utf-8", "backslashreplace"))


def _gnu_long(data: bytes) -> bytes:
    """Return the name, which one NUL ends, or several."""
    name, _, rest = data.partition(b"\0")
    if not name or rest.strip(b"\0"):
        raise TarFormatError("has a damaged long name")
    return name
