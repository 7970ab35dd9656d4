"""Look for instructions and marks of toolchains in an ELF file that passes by in pieces.

There is no disassembler here: bytes that look like an instruction may be data. So ``syscall`` counts only
with a number loaded into EAX just before, ``int 0x80`` only directly behind that, and ``sysenter`` only
behind ``mov ebp, esp``, with which the kernel wants it. All are hints.

Sources: Intel SDM volume 2 (0F 05, CD 80, 0F 34, 0F 01 F9; B8 id; 89 E5 or 8B EC);
arch/x86/entry/entry_64_compat.S of Linux (the ABI of sysenter); Go's src/debug/buildinfo/buildinfo.go.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from enclavize.rootfs.accelerator import native_find_bytes, native_find_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CODE_SIZE = 16 << 20
"""Bytes of code that are looked at in one file."""
MAX_SITES = 16384
"""Places that are kept of one file: all of an honest one's."""

RDTSCP = "rdtscp"
INT80 = "int80"
SYSENTER = "sysenter"

_OVERLAP = 128
"""Bytes of the last piece that are looked at again with the next one."""
_SPECIAL = b"\x0f\x05\x34\x01"
"""A first byte and the second ones: ``syscall``, ``sysenter``, the beginning of ``rdtscp``."""
_RDTSCP_END = b"\xf9"
_INT80 = b"\xcd\x80"
_NUMBER_BEFORE = re.compile(rb".*\xb8(.[\0-\3])\0\0((?:(?!\x0f\x05|\xcd\x80).){0,11})", re.DOTALL)
"""The last ``mov eax, NUMBER``, and at most 11 bytes behind it that make no system call with it."""
_WINDOW = 16
_STACK_BEFORE = (b"\x89\xe5", b"\x8b\xec")
"""Both forms of ``mov ebp, esp``."""
_GO_MAGIC = b"\xff Go buildinf:"
_GO_ALIGNMENT = 16
_GO_HEADER_SIZE = 32
_GO_INLINE = 2
_GO_VERSION = re.compile(rb"(go\d+(?:\.\d+){0,2}|devel)")
_RUST_MARK = b"rustc version "
_RUST_VERSION = re.compile(rb"\d+\.\d+\.\d+")


def find_pairs(data: bytes, start: int, end: int, pair: bytes, limit: int) -> Sequence[int]:
    """Return at most ``limit`` places of the first byte of ``pair`` before one of the others, up to three."""
    if (native := native_find_pairs()) is not None:
        return native(data, start, end, pair, limit)
    pattern = re.compile(re.escape(pair[:1]) + b"[" + re.escape(pair[1:]) + b"]", re.DOTALL)
    return [match.start() for match in islice(pattern.finditer(data, start, end), limit)]


def find_bytes(data: bytes, needle: bytes, start: int, end: int) -> int:
    """Return where ``needle`` begins first, all of it in a range that lies in ``data``; or -1."""
    if (native := native_find_bytes()) is not None:
        return native(data, needle, start, end)
    return data.find(needle, start, end)


class CodeScan:
    """Feed it a file in order. ``ranges`` are the parts with code: pairs of start and end."""

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = sorted(ranges)
        self._tail = b""
        self._left = MAX_CODE_SIZE
        self._sites = MAX_SITES
        self._go = self._rust = ""
        self._syscalls: set[int] = set()
        self._instructions: set[str] = set()

    @property
    def syscalls(self) -> tuple[int, ...]:
        """Numbers of system calls that the file makes itself, as far as they can be told."""
        return tuple(sorted(self._syscalls))

    @property
    def instructions(self) -> tuple[str, ...]:
        """Instructions that enclaves have no use for."""
        return tuple(sorted(self._instructions))

    @property
    def toolchain(self) -> str:
        """``go1.22.1``, ``rustc 1.80.0`` or nothing. Go's mark has precedence: the other is a mere string."""
        return self._go or self._rust

    def feed(self, offset: int, piece: bytes | memoryview) -> None:
        """Take the piece at ``offset`` of the file."""
        data = b"".join((self._tail, piece))
        base = offset - len(self._tail)
        at = 0
        for start, end in self._ranges:
            first, last = max(start - base, at), min(end - base, len(data))
            if first < last:
                self._look_for_marks(data, at, first, base)
                self._look_at_code(data, first, last)
                at = last
        self._look_for_marks(data, at, len(data), base)
        self._tail = data[-_OVERLAP:]

    def _look_at_code(self, data: bytes, first: int, last: int) -> None:
        last = min(last, first + self._left)
        self._left -= last - first
        for at in find_pairs(data, first, last, _SPECIAL, self._sites):
            self._sites -= 1
            match data[at + 1]:
                case 0x05 if number := _NUMBER_BEFORE.fullmatch(data, max(at - _WINDOW, first), at):
                    self._syscalls.add(int.from_bytes(number[1], "little"))
                case 0x34 if data.endswith(_STACK_BEFORE, first, at):
                    self._instructions.add(SYSENTER)
                case 0x01 if data.startswith(_RDTSCP_END, at + 2, last):
                    self._instructions.add(RDTSCP)
                case _:
                    pass
        for at in find_pairs(data, first, last, _INT80, self._sites):
            self._sites -= 1
            number = _NUMBER_BEFORE.fullmatch(data, max(at - _WINDOW, first), at)
            if number and not number[2]:
                self._instructions.add(INT80)

    def _look_for_marks(self, data: bytes, first: int, last: int, base: int) -> None:
        """Look for the marks of toolchains, which are data."""
        if not self._go:
            self._look_for_go(data, first, last, base)
        if not self._rust and (at := find_bytes(data, _RUST_MARK, first, last)) >= 0:
            version = _RUST_VERSION.match(data, at + len(_RUST_MARK))
            self._rust = f"rustc {version[0].decode()}" if version else ""

    def _look_for_go(self, data: bytes, first: int, last: int, base: int) -> None:
        at = find_bytes(data, _GO_MAGIC, first, last)
        if at < 0 or (base + at) % _GO_ALIGNMENT:
            return
        flags = data[at + 15 : at + 16]
        if flags and flags[0] & _GO_INLINE:
            # One byte is the length of the string, which is short.
            version = _GO_VERSION.match(data, at + _GO_HEADER_SIZE + 1)
            self._go = version[0].decode() if version else ""
        elif flags:
            self._go = "go"
