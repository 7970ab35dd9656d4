"""Look for instructions in an ELF file that passes by in pieces; the reference of ``native_code.py``.

There is no disassembler here: bytes that look like an instruction may be data. So ``syscall`` counts only
with a number loaded into EAX just before, ``int 0x80`` only directly behind that, and ``sysenter`` only
behind ``mov ebp, esp``, with which the kernel wants it. All are hints.

Sources: Intel SDM volume 2 (0F 05, CD 80, 0F 34, 0F 01 F9; B8 id; 89 E5 or 8B EC);
arch/x86/entry/entry_64_compat.S of Linux (the ABI of sysenter).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from enclavize.rootfs.toolchain_marks import ToolchainMarks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_CODE_SEGMENTS = 32
"""Program headers among which segments with code are looked for."""
MAX_CODE_SIZE = 16 << 20
"""Bytes of code that are looked at in one file."""
MAX_SITES = 16384
"""Places that are kept of one file: all of an honest one's."""

RDTSCP = "rdtscp"
INT80 = "int80"
SYSENTER = "sysenter"

OVERLAP = 128
"""Bytes of the last piece that are looked at again with the next one."""
_SPECIAL = re.compile(rb"\x0f[\x05\x34\x01]")
"""``syscall``, ``sysenter``, the beginning of ``rdtscp``."""
_RDTSCP_END = b"\xf9"
_INT80 = re.compile(rb"\xcd\x80")
_NUMBER_BEFORE = re.compile(rb".*\xb8(.[\0-\3])\0\0((?:(?!\x0f\x05|\xcd\x80).){0,11})", re.DOTALL)
"""The last ``mov eax, NUMBER``, and at most 11 bytes behind it that make no system call with it."""
_WINDOW = 16
_STACK_BEFORE = (b"\x89\xe5", b"\x8b\xec")
"""Both forms of ``mov ebp, esp``."""


def in_turn(ranges: Sequence[tuple[int, int]], base: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """Yield the parts of a piece that begins at ``base`` of the file, and whether each has code."""
    at = 0
    for start, end in ranges:
        first, last = max(start - base, at), min(end - base, size)
        if first < last:
            yield at, first, False
            yield first, last, True
            at = last
    yield at, size, False


class CodeScan:
    """Feed it a file in order. ``ranges`` are the parts with code: pairs of start and end."""

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = sorted(ranges)
        self._tail = b""
        self._left = MAX_CODE_SIZE
        self._sites = MAX_SITES
        self._marks = ToolchainMarks()
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
        """The compiler that left its mark, see ``toolchain_marks.py``."""
        return self._marks.toolchain

    def feed(self, offset: int, piece: bytes | memoryview) -> None:
        """Take the piece at ``offset`` of the file."""
        data = b"".join((self._tail, piece))
        base = offset - len(self._tail)
        for first, last, is_code in in_turn(self._ranges, base, len(data)):
            if is_code:
                self._look_at_code(data, first, last)
            else:
                self._marks.look(data, first, last, base)
        self._tail = data[-OVERLAP:]

    def _look_at_code(self, data: bytes, first: int, last: int) -> None:
        last = min(last, first + self._left)
        self._left -= last - first
        for place in islice(_SPECIAL.finditer(data, first, last), self._sites):
            at = place.start()
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
        for place in islice(_INT80.finditer(data, first, last), self._sites):
            at = place.start()
            self._sites -= 1
            number = _NUMBER_BEFORE.fullmatch(data, max(at - _WINDOW, first), at)
            if number and not number[2]:
                self._instructions.add(INT80)
