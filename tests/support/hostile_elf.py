"""ELF files that are made to cost as much as they can: in time, in memory, or in findings.

``python -m support.hostile_elf NAME ...`` judges them under limits: it dies where one is exceeded.
"""

from __future__ import annotations

import resource
import signal
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from enclavize.compat.profile import builtin_profiles
from enclavize.compat.rules import check
from enclavize.compat.subject import Subject
from enclavize.rootfs.elf import ElfScanner
from enclavize.rootfs.elf_symbols import WATCHED
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import Rootfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from enclavize.oci.image import Image

MAX_SECONDS = 1.0
"""Processor time for one file, from the scan to the reports on all profiles."""
MAX_MEMORY = 100 << 20
"""Bytes that one file may need more than the program itself."""
PIECE = 1 << 20
"""Bytes that the tar reader hands out at a time."""
BIG = 128 << 20

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_NEEDED, _STRTAB, _SYMTAB, _STRSZ, _RPATH = 1, 5, 6, 10, 15
_VERDEF, _VERNEED = 0x6FFFFFFC, 0x6FFFFFFE
_LOADER = b"/lib/ld-musl-x86_64.so.1\0"

Segment = tuple[int, int, int, int]
"""Type, flags, offset and size; loaded at its offset."""


def _header(segments: Sequence[Segment], kind: int = 3) -> bytes:
    identity = b"\x7fELF\2\1\1".ljust(16, b"\0")
    rest = struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    return identity + rest + b"".join(
        struct.pack("<IIQQQQQQ", type_, flags, offset, offset, offset, size, size, 1)
        for type_, flags, offset, size in segments
    )  # fmt: skip


def _code(pattern: bytes, size: int = 24 << 20) -> bytes:
    start = _header([(_PT_LOAD, 5, 0, size)])
    return (start + pattern * (size // len(pattern)))[:size]


def _dynamic(tags: Sequence[tuple[int, int]], tables: dict[int, bytes], strings: bytes) -> bytes:
    """Put the tables, the strings and the dynamic section behind one another."""
    at, body, found = 4096, bytearray(), list(tags)
    for tag, table in {**tables, _STRTAB: strings}.items():
        found.append((tag, at + len(body)))
        body += table
    found.append((_STRSZ, len(strings)))
    section = b"".join(struct.pack("<QQ", *pair) for pair in found) + bytes(16)
    end = at + len(body)
    segments = [
        (_PT_LOAD, 4, 0, end + len(section)),
        (_PT_DYNAMIC, 4, end, len(section)),
        (_PT_INTERP, 4, 1024, len(_LOADER)),
    ]
    start = _header(segments).ljust(1024, b"\0") + _LOADER
    return start.ljust(at, b"\0") + body + section


def _many_libraries() -> bytes:
    names = b"\0".join(b"l%d" % number for number in range(4000))
    offsets = [0, *(at + 1 for at, byte in enumerate(names) if not byte)]
    run_path = b":".join(b"/%d" % (number % 600) for number in range(900))[:4000]
    strings = b"\0" + names + b"\0" + run_path + b"\0"
    tags = [(_NEEDED, offset + 1) for offset in offsets] + [(_RPATH, len(names) + 2)]
    return _dynamic(tags, {}, strings)


def _long_strings() -> bytes:
    return _dynamic([(_NEEDED, number) for number in range(4000)], {}, b"x" * (8 << 20))


def _endless_strings() -> bytes:
    section = struct.pack("<6Q", _STRTAB, 0, _STRSZ, 1 << 40, _NEEDED, 1) + bytes(16)
    segments = [(_PT_LOAD, 4, 0, BIG), (_PT_DYNAMIC, 4, 4096, len(section))]
    return (_header(segments).ljust(4096, b"\0") + section).ljust(BIG, b"x")


def _symbols() -> bytes:
    names = sorted(WATCHED)
    strings = b"\0" + b"\0".join(names) + b"\0" + b"y" * (8 << 20)
    symbols = b"".join(
        struct.pack("<IBBHQQ", strings.find(names[number % len(names)]), 0x12, 0, 0, 0, 0)
        for number in range(65536)
    )
    return _dynamic([], {_SYMTAB: symbols}, strings)


def _versions(table: int) -> bytes:
    entry = {
        _VERNEED: struct.pack("<HHIII", 1, 0xFFFF, 0, 16, 32) + struct.pack("<IHHII", 0, 0, 0, 1, 16),
        _VERDEF: struct.pack("<HHHHIII", 1, 0, 1, 1, 0, 20, 28) + struct.pack("<II", 1, 0),
    }[table]
    return _dynamic([], {table: entry * 4000}, b"\0GLIBC_" + b"9" * 55 + b"\0")


def _segments() -> bytes:
    return _header([(_PT_LOAD, 5, 0, BIG)] * 1000) + b"\x0f" * (24 << 20)


def _everywhere() -> bytes:
    huge = (1 << 64) - 1
    return _header([(_PT_DYNAMIC, 4, huge, huge), (_PT_INTERP, 4, huge, 1), (_PT_LOAD, 5, 1, huge)])


def _late_dynamic() -> bytes:
    return _header([(_PT_LOAD, 5, 0, BIG), (_PT_DYNAMIC, 4, BIG - 4096, 4096)]) + bytes(BIG)


FILES: dict[str, Callable[[], bytes]] = {
    "many libraries": _many_libraries,
    "long strings": _long_strings,
    "strings without an end": _endless_strings,
    "many symbols": _symbols,
    "many versions needed": lambda: _versions(_VERNEED),
    "many versions defined": lambda: _versions(_VERDEF),
    "many segments": _segments,
    "offsets beyond all": _everywhere,
    "dynamic section at the end": _late_dynamic,
    "numbers": lambda: _code(b"\xb8\1\0\0\0"),
    "system calls": lambda: _code(b"\xb8\1\0\0\0\x0f\x05"),
    "half system calls": lambda: _code(b"\x0f\x05"),
    "old system calls": lambda: _code(b"\xb8\1\0\0\0\xcd\x80"),
    "first bytes": lambda: _code(b"\x0f"),
    "sysenter": lambda: _code(b"\x89\xe5\x0f\x34"),
    "rdtscp": lambda: _code(b"\x0f\x01\xf9"),
    "marks of Go": lambda: (
        _code(b"\xff Go buildinf:\x08\2", 1 << 20) + b"\xff Go buildinf:\x08\2" * (1 << 20)
    ),
    "marks of Rust": lambda: _code(b"\x90", 1 << 20) + b"rustc version " * (1 << 20),
}


TOO_SLOW, TOO_LARGE = "too slow", "too large"
"""What breaks the limits: a proof that they hold."""


def _spin() -> None:
    while True:
        pass


def judge(data: bytes) -> None:
    """Scan a file as it comes out of a layer, and check it against all profiles."""
    scanner = ElfScanner()
    for piece in _pieces(data):
        scanner.feed(piece)
    program = Entry(path="program", type=FileType.REGULAR, mode=0o755, size=len(data), elf=scanner.facts())
    folders = [Entry(path=str(number), type=FileType.DIRECTORY, mode=0o755) for number in range(600)]
    subject = Subject(
        rootfs=Rootfs([program, *folders], merkle_reader=lambda _: b""),
        arguments=("/program",),
        working_directory="/",
        environment={"PATH": ""},
        uid=1,
        gids=frozenset(),
    )
    for profile in builtin_profiles():
        assert check(subject, cast("Image", SimpleNamespace(name="image")), profile).advice.reasons


def _pieces(data: bytes) -> Iterator[memoryview]:
    """Yield copies, as decompression makes them: what the scanner keeps of them is memory."""
    return (memoryview(data[at : at + PIECE]) for at in range(0, len(data), PIECE))


def main() -> None:
    """Judge the named files; SIGPROF or MemoryError ends the process where one costs too much."""
    judge(_everywhere())
    for name in sys.argv[1:]:
        data = FILES[name]() if name in FILES else b""
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MAX_MEMORY, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
        if name == TOO_SLOW:
            _spin()
        elif name == TOO_LARGE:
            bytearray(MAX_MEMORY + PIECE)
        else:
            judge(data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(name, flush=True)


if __name__ == "__main__":
    main()
