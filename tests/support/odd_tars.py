"""Tar archives that no writer makes, and changed ones that writers made, from a seed.

Each choice is mostly what writers do, so that many archives are read to their end, and sometimes not.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from support.images import directory, file, hard_link, symlink, tar_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

RECORD = 512
_NAMES = (
    b"a", b"b/c", b"d/", b"./e", b"f\0g", b"x" * 100, b"/abs", b"h//i", b"../up", b"\xff\xfe",
    b"n" * 99 + b"/", b"",
)  # fmt: skip
_MAGICS = (b"ustar\x0000", b"ustar  \0", bytes(8))
_ODD_MAGICS = (
    b"ustar\0  ", b"ustar\0\0\0", b"ustar 00", b"ustar \0\0", b"USTAR\x0000", b"\0\0\0\0\0\x0000",
    b"ustar\x0001", b"tar\0\0\0\0\0",
)  # fmt: skip
_PREFIXES = (
    b"p", b"p/q", b"P" * 131, b"P" * 155, b"\xe9", b"00000000001\0", b"1\0", b"\x80" * 20, b"p\0q", b"z" * 12,
)  # fmt: skip
_RECORDS: tuple[tuple[bytes, bytes], ...] = (
    (b"path", b"PAX"), (b"path", b"PAX2/y"), (b"path", b"D/"), (b"linkpath", b"LP"), (b"size", b"3"),
    (b"comment", b"c"), (b"uid", b"7"), (b"gid", b"4294967294"), (b"mtime", b"1.5"), (b"mtime", b"-1.5"),
    (b"atime", b"12"), (b"ctime", b"0.25"), (b"SCHILY.xattr.user.a", b"v"), (b"hdrcharset", b"BINARY"),
    (b"SCHILY.xattr.security.capability", b"\1\0\0\2"), (b"uname", b"u"), (b"SCHILY.dev", b"66306"),
    (b"LIBARCHIVE.xattr.user.a", b"dg"),
)  # fmt: skip
_ODD_RECORDS: tuple[tuple[bytes, bytes], ...] = (
    (b"path", b""), (b"linkpath", b""), (b"size", b""), (b"size", b"+3"), (b"size", b"-1"), (b"size", b"03"),
    (b"uid", b"-1"), (b"uid", b"9223372036854775808"), (b"gid", b"1_0"), (b"gid", b" 5"), (b"mtime", b"x"),
    (b"mtime", b"-1.0000000001"), (b"mtime", b"-0.5"), (b"mtime", b"1."), (b"mtime", b".5"), (b"ctime", b""),
    (b"mtime", b"1.2.3"), (b"mtime", b"-1.000000000x"), (b"atime", b"y"), (b"path", b"a\0b"),
    (b"uname", b"\0"), (b"k\0y", b"v"), (b"GNU.sparse.major", b"0"), (b"GNU.sparse.minor", b"1"),
    (b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.name", b"S"), (b"SCHILY.xattr.", b"v"),
    (b"SCHILY.xattr.user.e", b""), (b"path", b"e=q"),
    (b"mtime", b"99999999999999999999"), (b"", b"v"), (b"SCHILY.realsize", b"9"), (b"size", b"600"),
    (b"SCHILY.xattr.\xff", b"\xff"),
)  # fmt: skip
_LONG_NAMES = (b"LONG\0", b"LONG", b"l/" * 80 + b"x\0")
_ODD_LONG_NAMES = (b"L\0M\0", b"\0", b"", b"LD/\0", b"L\0\0\0")
_TYPES = (b"0", b"0", b"0", b"\0", b"5", b"2", b"1", b"6", b"3", b"4")
_ODD_TYPES = (b"7", b"S", b"V", b"M", b"D", b"A", b"N", b"8", b" ", b"X")


def with_sum(record: bytes | bytearray, *, signed: bool = False) -> bytes:
    """Return a header with the right checksum."""
    blank = bytearray(record)
    blank[148:156] = b" " * 8
    total = sum(byte - 256 * (signed and byte > 127) for byte in blank)
    blank[148:156] = b"%06o\0 " % total if total >= 0 else b"0\0      "
    return bytes(blank)


def pax_record(key: bytes, value: bytes, zeros: int = 0) -> bytes:
    """Return a record, its length with leading zeros."""
    size = len(key) + len(value) + 3 + zeros
    while len(b"%d" % size) + len(key) + len(value) + 3 + zeros != size:
        size += 1
    return b"0" * zeros + b"%d %s=%s\n" % (size, key, value)


def padded(data: bytes) -> bytes:
    """Fill up the last record."""
    return data + bytes(-len(data) % RECORD)


class OddTars:
    """Makes archives; ``odds`` is how often something is what no writer would do."""

    def __init__(self, random: Random, odds: float = 0.04) -> None:
        self._random = random
        self._odds = odds

    def archive(self) -> bytes:
        """Return an archive of up to four members."""
        parts = [self._member() for _ in range(self._random.randrange(1, 5))]
        end = self._pick((bytes(1024),), (bytes(512), b"", bytes(700), bytes(512) + b"x" * 512, bytes(5120)))
        return b"".join(parts) + end

    def changed(self, archive: bytes) -> bytes:
        """Return a real archive with a few of its headers changed, moved, repeated or taken away."""
        records = [archive[at : at + RECORD] for at in range(0, len(archive), RECORD)]
        for _ in range(self._random.randrange(1, 4)):
            headers = [number for number, record in enumerate(records) if _is_header(record)]
            if not headers:
                break
            at = self._random.choice(headers)
            match self._random.randrange(8):
                case 0:
                    del records[at]
                case 1:
                    records.insert(self._random.choice(headers), records[at])
                case 2:
                    records.insert(at, self._extension())
                case 3:
                    records[at] = self._other_type(records[at])
                case 4:
                    other = records[self._random.choice(headers)]
                    start, end = self._random.choice(_FIELDS)
                    records[at] = with_sum(records[at][:start] + other[start:end] + records[at][end:])
                case 5 if at + 1 < len(records) and records[at][156:157] in (b"x", b"L", b"K"):
                    records[at + 1] = self._flipped(records[at + 1])
                case _:
                    records[at] = with_sum(self._flipped(records[at]))
        data = b"".join(records)
        return data[: self._random.randrange(len(data) + 1)] if self._is_odd() else data

    def field(self) -> bytes:
        """Return an archive of one member, with a field or a pax value of a few significant letters."""
        random = self._random
        if random.random() < 0.4:
            key = random.choice(
                (b"path", b"size", b"uid", b"gid", b"mtime", b"atime", b"SCHILY.xattr.a", b"")
            )
            value = bytes(random.choices(_VALUE_LETTERS, k=random.randrange(6)))
            record = pax_record(key, value, zeros=int(self._is_odd()))
            if random.random() < 0.3:
                at = random.randrange(len(record))
                record = record[:at] + bytes(random.choices(_VALUE_LETTERS)) + record[at + 1 :]
            return extension(b"x", record) + header(b"x") + bytes(1024)
        at, size = random.choice(_NUMBER_FIELDS)
        value = bytes(random.choices(_NUMBER_LETTERS, k=random.randrange(1, size + 1)))
        filled = random.choice((value.ljust(size, b"\0"), value.rjust(size, b"0"), value.ljust(size)))
        return header(b"x", b"0", 0, (257, random.choice(_MAGICS)), (at, filled)) + bytes(1024)

    def _is_odd(self) -> bool:
        return self._random.random() < self._odds

    def _pick(self, usual: Sequence[bytes], odd: Sequence[bytes]) -> bytes:
        return self._random.choice(odd if self._is_odd() else usual)

    def _member(self) -> bytes:
        random = self._random
        if random.random() < 0.15:
            return self._sparse_member()
        extensions = b""
        for _ in range(random.choice((0, 0, 1, 1, 1, 2)) if random.random() < 0.5 else 0):
            extensions += self._extension()
        kind = self._pick(_TYPES, _ODD_TYPES)
        data = random.choice((b"", b"abc", b"q" * 600)) if kind in (b"0", b"\0") or self._is_odd() else b""
        size = len(data)
        if kind in b"123456" and self._is_odd():
            size, data = random.choice(((5, b""), (3, b"abc")))
        name = random.choice(_NAMES if self._is_odd() or kind == b"5" else _NAMES[:2] + _NAMES[3:8])
        return extensions + self._header(name, kind, size) + padded(data)

    def _sparse_member(self) -> bytes:
        """Return a file with holes, in one of four formats, often with one wrong number."""
        random = self._random
        extents, at, stored = [], 0, 0
        for _ in range(random.choice((0, 1, 1, 2, 3, 6, 30))):
            offset, size = at + random.choice((0, 1, 700)), random.choice((0, 1, 1, 600))
            extents.append((offset, size))
            at, stored = offset + size, stored + size
        whole = at + random.choice((0, 0, 3, 1000))
        numbers = [number for extent in extents for number in extent]
        if numbers and random.random() < 0.2:
            numbers[random.randrange(len(numbers))] = random.choice((0, 1, 512, 1 << 40, 1 << 62))
            extents = list(zip(numbers[::2], numbers[1::2], strict=True))
        size = self._random.choice((0, 1, 1 << 20)) if self._is_odd() else whole
        data = padded(bytes(random.choices(b"ab", k=stored)))
        if random.random() < 0.25:
            done = bytearray(old_sparse(*extents, size=size)[:RECORD])
            more = old_sparse(*extents, size=size)[RECORD:]
            done[124:136] = b"%011o\0" % stored
            return with_sum(self._flipped(bytes(done)) if self._is_odd() else done) + more + data
        texts = [b"%d" % number for number in numbers]
        if texts and self._is_odd():
            texts[random.randrange(len(texts))] = random.choice((b"", b"+1", b"-1", b"01", b"x", b"1 "))
        count = (b"GNU.sparse.numblocks", b"%d" % (len(extents) + int(self._is_odd())))
        sized = (random.choice((b"GNU.sparse.size", b"GNU.sparse.realsize")), b"%d" % size)
        match random.randrange(3):
            case 0:
                keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
                records = [sized, count, *((keys[at % 2], text) for at, text in enumerate(texts))]
            case 1:
                records = [sized, count, (b"GNU.sparse.map", b",".join(texts))]
            case _:
                lines = b"".join(line + b"\n" for line in (b"%d" % len(extents), *texts))
                data, stored = padded(lines) + data, stored + len(padded(lines))
                records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), sized]
        if random.random() < 0.3:
            records.append((b"GNU.sparse.name", random.choice(_NAMES[:8])))
        if self._is_odd():
            records.append(random.choice(_ODD_RECORDS))
        if self._is_odd():
            random.shuffle(records)
        return pax(*records) + self._header(b"a", self._pick((b"0",), _ODD_TYPES), stored) + data

    def _extension(self) -> bytes:
        random = self._random
        kind = self._pick((b"x", b"x", b"x", b"L", b"K", b"g"), (b"g", b"x", b"X"))
        if kind in b"xgX":
            records = [
                pax_record(
                    *random.choice(_ODD_RECORDS if self._is_odd() else _RECORDS), zeros=int(self._is_odd())
                )
                for _ in range(random.randrange(4))
            ]
            data = b"".join(records) + self._pick((b"",), (b"\0", b"x", b"5 a=\n", b"4 a=", b"+6 a=b\n"))
        else:
            data = self._pick(_LONG_NAMES, _ODD_LONG_NAMES)
        return self._header(b"ext", kind, len(data)) + padded(data)

    def _header(self, name: bytes, kind: bytes, size: int) -> bytes:
        random = self._random
        magic = self._pick(_MAGICS, _ODD_MAGICS)
        has_prefix = self._is_odd() or (magic.startswith(b"ustar\0") and random.random() < 0.1)
        prefix = random.choice(_PREFIXES) if has_prefix else b""
        tail = self._pick((bytes(12),), (bytes(8) + b"tar\0", b"x" * 12, b"\1" + bytes(11)))
        link = random.choice((b"lnk", b"a", b"L" * 100)) if kind in b"12" or self._is_odd() else b""
        device = [self._number(random.choice((0, 0, 1, 5)), 8) for _ in range(2)]
        fields = [
            name[:100].ljust(100, b"\0"), self._number(random.choice((0o644, 0o4755, 0o100644)), 8),
            self._number(random.choice((0, 5)), 8), self._number(random.choice((0, 1 << 20)), 8),
            self._number(size, 12), self._number(random.choice((0, 7, 1_700_000_000)), 12), bytes(8), kind,
            link.ljust(100, b"\0"), magic, self._pick((bytes(32), b"root".ljust(32, b"\0")), (b"\xff" * 32,)),
            bytes(32), *device, prefix.ljust(155, b"\0"), tail,
        ]  # fmt: skip
        record = bytearray(b"".join(fields))
        if not any(magic) and not self._is_odd():
            record[257:] = bytes(255)
        done = bytearray(with_sum(record, signed=self._is_odd()))
        if self._is_odd():
            total = int(done[148:154].rstrip(b" \0"), 8)
            done[148:156] = random.choice(
                (b"%07o " % total, b"%6o\0 " % total, b"\x80" + total.to_bytes(7, "big"), b"%o" % total)
            ).ljust(8, b"\0")
        return bytes(done)

    def _number(self, value: int, size: int) -> bytes:
        digits = b"%o" % value
        usual = (
            digits.rjust(size - 1, b"0") + b"\0", digits.rjust(size - 1, b"0") + b" ",
            digits.rjust(size - 2, b"0") + b" \0", digits.rjust(size - 1) + b"\0", digits.rjust(size, b"0"),
            b"\x80" + value.to_bytes(size - 1, "big"), *((bytes(size),) if not value else ()),
        )  # fmt: skip
        odd = (
            b"\xff" * size, b"\xc0" + bytes(size - 1), b"\x80" + b"\xff" * (size - 1), b" " * size,
            digits + b"\0" + b"7" * size, digits + b" \0" + b"7" * size, digits + b"\0z",
            b"\x80" + bytes(max(0, size - 9)) + b"\x7f" + b"\xff" * 7,
            b"0x1", b"8", b"1_1", b"+1", b"-1", b"1 1",
        )  # fmt: skip
        return self._pick(usual, odd)[:size].ljust(size, b"\0")

    def _other_type(self, record: bytes) -> bytes:
        return with_sum(record[:156] + self._random.choice((*_TYPES, *_ODD_TYPES, b"x", b"L")) + record[157:])

    def _flipped(self, record: bytes) -> bytes:
        changed = bytearray(record)
        start, end = self._random.choice(_FIELDS)
        at = self._random.randrange(start, min(end, len(changed)) or 1) if start < len(changed) else 0
        changed[at] = self._random.choice((changed[at] ^ 1 << self._random.randrange(8), 0, 0x20, 0x2F, 0x31))
        return bytes(changed)


_FIELDS = (
    (0, 100), (0, 100), (100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (156, 157), (157, 257),
    (257, 265), (265, 297), (329, 337), (337, 345), (345, 500), (345, 369), (500, 512),
)  # fmt: skip


_NUMBER_FIELDS = (
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (329, 8),
    (337, 8),
    (345, 12),
    (357, 12),
)
_NUMBER_LETTERS = b"\0\0\0   0000117778x-+_\x80\xc0\xff"
_VALUE_LETTERS = b"0011799.-+ _=\n\0ax\xff"


def _is_header(record: bytes) -> bool:
    return len(record) == RECORD and record[148:154].strip(b" \0").isdigit() and any(record)


_ORDINARY = tar_of([file("x")], tarfile.USTAR_FORMAT)[:RECORD]


def header(name: bytes, kind: bytes = b"0", size: int = 0, *changes: tuple[int, bytes]) -> bytes:
    """Return an ordinary ustar header, with other bytes at some places, and the right checksum."""
    record = bytearray(_ORDINARY)
    for at, value in (
        (0, name.ljust(100, b"\0")), (156, kind), (124, b"%011o\0" % size), *changes,
    ):  # fmt: skip
        record[at : at + len(value)] = value
    return with_sum(record)


def extension(kind: bytes, data: bytes) -> bytes:
    """Return an extended header with its data."""
    return header(b"ext", kind, len(data)) + padded(data)


def pax(*records: tuple[bytes, bytes]) -> bytes:
    """Return a pax header."""
    return extension(b"x", b"".join(pax_record(key, value) for key, value in records))


def old_sparse(*extents: tuple[int, int], size: int) -> bytes:
    """Return the header of a file with holes in GNU's old format, and those of its further extents."""
    entries = [b"%011o\0%011o\0" % extent for extent in extents]
    stored = sum(length for _, length in extents)
    further = [entries[at : at + 21] for at in range(4, len(entries), 21)]
    records = [
        b"".join(some).ljust(504, b"\0") + bytes([number < len(further) - 1]) + bytes(7)
        for number, some in enumerate(further)
    ]
    first = b"".join(entries[:4]).ljust(96, b"\0") + bytes([bool(further)]) + b"%011o\0" % size
    return header(b"x", b"S", stored, _GNU, (345, bytes(41) + first)) + b"".join(records)


_SPARSE_SIZE = ((b"GNU.sparse.size", b"9"), (b"GNU.sparse.numblocks", b"1"))
_SPARSE_0_1 = (b"GNU.sparse.map", b"2,3")
_SPARSE_1_0 = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"))
_GNU, _PREFIX = (257, b"ustar  \0"), (345, b"z\0")
_MEMBER = header(b"x", b"0", 3) + padded(b"abc")
ODDITIES: dict[str, tuple[bytes, str]] = {
    "pax path and GNU long name": (
        pax((b"path", b"p")) + extension(b"L", b"other\0") + _MEMBER, "several extended headers"
    ),
    "GNU long name and pax path": (
        extension(b"L", b"other\0") + pax((b"path", b"p")) + _MEMBER, "several extended headers"
    ),
    "pax path and GNU long link": (
        pax((b"path", b"p")) + extension(b"K", b"other\0") + _MEMBER, "several extended headers"
    ),
    "two pax headers": (pax((b"path", b"p")) + pax((b"comment", b"c")) + _MEMBER, "several extended headers"),
    "two long names": (extension(b"L", b"a\0") + extension(b"L", b"b\0") + _MEMBER, "two long names"),
    "a global header": (extension(b"g", pax_record(b"comment", b"c")) + _MEMBER, ""),
    "a global header with names and sizes": (
        extension(b"g", pax_record(b"path", b"p") + pax_record(b"size", b"9")) + _MEMBER, ""
    ),
    "a global header at the end": (_MEMBER + extension(b"g", pax_record(b"comment", b"c")), ""),
    "a damaged global header": (extension(b"g", pax_record(b"uid", b"x")) + _MEMBER, "damaged pax header"),
    "a global header behind a pax header": (
        pax((b"path", b"p")) + extension(b"g", pax_record(b"comment", b"c")) + _MEMBER,
        "several extended headers",
    ),
    "a global header behind a long name": (
        extension(b"L", b"n\0") + extension(b"g", pax_record(b"comment", b"c")) + _MEMBER,
        "several extended headers",
    ),
    "GNU magic and a prefix": (header(b"x", b"0", 0, _GNU, _PREFIX), "time of GNU's header is b'z'"),
    "a prefix without magic": (header(b"x", b"0", 0, (257, bytes(72)), _PREFIX), "unknown tar format"),
    "another magic": (header(b"x", b"0", 0, (257, b"ustar 00"), _PREFIX), "unknown tar format"),
    "a trailer of star": (header(b"x", b"0", 0, (345, b"P" * 155), (508, b"tar\0")), "star"),
    "NUL in a pax path": (pax((b"path", b"a\0b")) + _MEMBER, "NUL in 'path'"),
    "NUL in a pax user name": (pax((b"uname", b"a\0b")) + _MEMBER, "NUL in 'uname'"),
    "NUL in a pax key": (pax((b"k\0y", b"v")) + _MEMBER, "NUL in 'k"),
    "NUL in a GNU long name": (extension(b"L", b"a\0b\0") + _MEMBER, "damaged long name"),
    "an empty GNU long name": (extension(b"L", b"\0") + _MEMBER, "damaged long name"),
    "an empty pax path": (pax((b"path", b"")) + _MEMBER, "empty 'path'"),
    "a pax key twice": (pax((b"path", b"a"), (b"path", b"b")) + _MEMBER, "'path' twice"),
    "two sizes": (pax((b"size", b"0")) + _MEMBER, "two sizes"),
    "a pax size with a sign": (pax((b"size", b"+3")) + _MEMBER, "damaged pax header"),
    "a pax owner of more than 64 bits": (pax((b"uid", b"%d" % (1 << 63))) + _MEMBER, "damaged pax header"),
    "a damaged pax access time": (pax((b"atime", b"now")) + _MEMBER, "atime is b'now'"),
    "garbage behind a pax fraction": (pax((b"mtime", b"1." + b"0" * 30 + b"x")) + _MEMBER, "mtime"),
    "a directory with a size": (header(b"d/", b"5", 3) + padded(b"abc"), "a size for d/"),
    "a link with a size": (header(b"l", b"2", 3), "a size for l"),
    "a hard link with a size": (header(b"l", b"1", 3) + padded(b"abc"), "a size for l"),
    "an old directory with a size": (header(b"d/", b"\0", 3) + padded(b"abc"), "a size for d/"),
    "a contiguous file": (header(b"x", b"7"), "unknown type b'7'"),
    "a file with a slash": (header(b"x/", b"0"), "slash at the end of x/"),
    "a link with a slash": (header(b"x/", b"2"), "slash at the end of x/"),
    "GNU sparse": (old_sparse((0, 3), size=5) + padded(b"abc"), ""),
    "GNU sparse with more extents than there is room for": (
        old_sparse(*((9 * at, 1) for at in range(30)), size=300) + padded(b"a" * 30), ""
    ),
    "GNU sparse that is ustar's": (header(b"x", b"S"), "of an unknown format"),
    "GNU sparse that overlaps": (old_sparse((0, 2), (1, 1), size=5) + padded(b"abc"), "not in order"),
    "pax sparse 0.0": (
        pax(*_SPARSE_SIZE, (b"GNU.sparse.offset", b"2"), (b"GNU.sparse.numbytes", b"3")) + _MEMBER, ""
    ),
    "pax sparse 0.1": (pax(*_SPARSE_SIZE, (b"GNU.sparse.map", b"2,3")) + _MEMBER, ""),
    "pax sparse 1.0": (
        pax(*_SPARSE_1_0) + header(b"x", b"0", 515) + padded(b"1\n2\n3\n") + padded(b"abc"), ""
    ),
    "pax sparse, all a hole": (
        pax(*_SPARSE_1_0) + header(b"x", b"0", 512) + padded(b"0\n"), ""
    ),
    "pax sparse without a size": (
        pax((b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.map", b"0,3")) + _MEMBER,
        "the size of a sparse file",
    ),
    "pax sparse with two sizes": (
        pax(*_SPARSE_SIZE, (b"GNU.sparse.realsize", b"7"), (b"GNU.sparse.map", b"2,3")) + _MEMBER,
        "in two ways",
    ),
    "pax sparse without a map": (pax(*_SPARSE_SIZE) + _MEMBER, "sparse file of an unknown format"),
    "pax sparse of another version": (
        pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + _MEMBER,
        "sparse file of an unknown format",
    ),
    "pax sparse beyond its size": (
        pax(*_SPARSE_SIZE, (b"GNU.sparse.map", b"8,3")) + _MEMBER, "not what is stored"
    ),
    "pax sparse with less data": (
        pax(*_SPARSE_SIZE, (b"GNU.sparse.map", b"2,4")) + _MEMBER, "not what is stored"
    ),
    "pax sparse with a sign": (
        pax(*_SPARSE_SIZE, (b"GNU.sparse.map", b"+2,3")) + _MEMBER, "damaged map"
    ),
    "pax sparse in two versions": (
        pax(*_SPARSE_SIZE, _SPARSE_0_1, (b"GNU.sparse.offset", b"2"), (b"GNU.sparse.numbytes", b"3"))
        + _MEMBER,
        "two maps",
    ),
    "pax sparse 0.0 in another order": (
        pax(*_SPARSE_SIZE, (b"GNU.sparse.numbytes", b"3"), (b"GNU.sparse.offset", b"2")) + _MEMBER,
        "damaged map",
    ),
    "a sparse directory": (
        pax(*_SPARSE_SIZE, (b"GNU.sparse.map", b"0,0")) + header(b"d/", b"5"), "which is no regular file"
    ),
    "a sparse file that is renamed": (
        pax(*_SPARSE_SIZE, _SPARSE_0_1, (b"path", b"p"), (b"GNU.sparse.name", b"n")) + _MEMBER, ""
    ),
    "a sparse file with a slash": (
        pax(*_SPARSE_SIZE, _SPARSE_0_1, (b"GNU.sparse.name", b"n/")) + _MEMBER, "slash at the end"
    ),
    "damaged device numbers of a file": (header(b"x", b"0", 0, (329, b"zz")), "device is"),
    "a damaged mode of a pax header": (
        header(b"ext", b"x", 0, (100, b"rwxrwxrwx"[:8])) + _MEMBER, "mode is b'rwxrwxrw'"
    ),
    "a checksum in base 256": (
        _MEMBER[:148] + b"\x80" + int(_MEMBER[148:154], 8).to_bytes(7, "big") + _MEMBER[156:], "checksum"
    ),
    "a time of more than 64 bits": (header(b"x", b"0", 0, (136, b"\x80" + b"\1" * 11)), "mtime is"),
    "digits behind NUL": (header(b"x", b"0", 0, (124, b"0\0" + b"9" * 10)), ""),
    "a space before NUL and digits": (header(b"x", b"0", 0, (124, b"0 \0" + b"9" * 9)), "size is"),
    "a negative size": (header(b"x", b"0", 0, (124, b"\xff" * 12)), "negative number"),
    "a pax header at the end": (pax((b"path", b"p")), "ends after an extended header"),
}  # fmt: skip
"""Archives that readers could read in different ways, by name, with what is said; "" if they are read."""


def python_archives() -> list[bytes]:
    """Return archives as Python's tarfile writes them, in its formats."""
    members = [
        directory("d", 0o1777, uid=70_000),
        file("d/x", b"x" * 700, mtime=12, gid=300_000),
        file("d/" + "n" * 120, b"long name"),
        file("/".join(["p" * 60] * 4), b"long path"),
        file("d/é", b"", pax={"SCHILY.xattr.user.a": "b", "mtime": "5.25"}),
        symlink("l", "t" * 150),
        hard_link("h", "d/x"),
        hard_link("h2", "d/" + "n" * 120),
    ]
    return [tar_of(members, kind) for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)] + [
        tar_of([*members[:2], *members[6:7]], tarfile.USTAR_FORMAT)
    ]
