"""The native form of reading a layer: all but inflating, and looking into ELF files (native/host/scan.zig).

It reads archives that all readers read alike. From the first member on of which that is not so, the reader in
tar.py goes on: it is the reference, and knows what to say of errors.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from enclavize.rootfs import elf
from enclavize.rootfs.accelerator import native_library
from enclavize.rootfs.tar import HEAD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from enclavize.rootfs.entry import ElfFacts
    from enclavize.rootfs.rows import RowWriter


class _Bytes(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))

    def copy(self) -> bytes:
        return ctypes.string_at(self.data, self.size) if self.size else b""


class _Options(ctypes.Structure):
    _fields_ = (
        ("descriptor", ctypes.c_int32),
        ("rows_descriptor", ctypes.c_int32),
        ("heap_descriptor", ctypes.c_int32),
        ("merkle_start", ctypes.c_uint64),
        ("max_members", ctypes.c_uint64),
        ("max_content_size", ctypes.c_uint64),
        ("kept_names", _Bytes),
    )


class _Report(ctypes.Structure):
    _fields_ = (
        ("rows_size", ctypes.c_uint64),
        ("heap_size", ctypes.c_uint64),
        ("elf_parts", _Bytes),
        ("left_over", _Bytes),
        ("resume_at", ctypes.c_uint64),
        ("members", ctypes.c_uint64),
        ("content_size", ctypes.c_uint64),
        ("metadata_size", ctypes.c_uint64),
        ("merkle_size", ctypes.c_uint64),
        ("elf_files", ctypes.c_uint64),
        ("digest", ctypes.c_uint8 * 32),
    )


class _ElfPart(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("offset", "size", "file_size", "is_first"))


@cache
def _library() -> Any:
    library: Any = native_library("enclavize_scan_new")
    if library is None:
        return None
    library.enclavize_scan_new.argtypes = (ctypes.POINTER(_Options),)
    library.enclavize_scan_new.restype = ctypes.c_void_p
    library.enclavize_scan_feed.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    library.enclavize_scan_finish.argtypes = (ctypes.c_void_p,)
    library.enclavize_scan_report.argtypes = (ctypes.c_void_p,)
    library.enclavize_scan_report.restype = ctypes.POINTER(_Report)
    library.enclavize_scan_free.argtypes = (ctypes.c_void_p,)
    library.enclavize_scan_free.restype = None
    return library


def is_available() -> bool:
    """Tell whether the native part was built, and is for this CPU."""
    return _library() is not None


class NativeScan:
    """One pass over one layer. ``check_metadata`` is told the bytes of metadata so far, and may raise."""

    def __init__(
        self,
        *,
        descriptor: int,
        records: RowWriter,
        merkle_start: int,
        max_members: int,
        max_content_size: int,
        kept_names: Iterable[str],
        check_metadata: Callable[[int], object],
    ) -> None:
        """Merkle trees go to an open file, from ``merkle_start`` on; rows to those of ``records``."""
        names = "".join(f"{name}\0" for name in kept_names).encode()
        self._names = ctypes.create_string_buffer(names, len(names))
        options = _Options(
            descriptor=descriptor,
            rows_descriptor=records.descriptors[0],
            heap_descriptor=records.descriptors[1],
            merkle_start=merkle_start,
            max_members=max_members,
            max_content_size=max_content_size,
            kept_names=_Bytes(ctypes.addressof(self._names), len(names)),
        )
        self._scanner = _library().enclavize_scan_new(ctypes.byref(options))
        if not self._scanner:
            raise MemoryError
        self._report = _library().enclavize_scan_report(self._scanner).contents
        self._check_metadata = check_metadata
        self._elf: _ElfFile | None = None
        self._facts: list[ElfFacts] = []
        self._strings = 0
        self.resumes_at = 0
        """Where in the archive the other reader begins."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _library().enclavize_scan_free(self._scanner)

    def scan(self, chunks: Iterator[bytes]) -> Iterator[bytes] | None:
        """Read an archive to its end; or up to a member for the other reader, and return what it has to read.

        What is taken from that counts for the digest as well.
        """
        seen = 0
        for chunk in chunks:
            is_understood = self._feed(chunk)
            self._look_into_elf_files(chunk)
            self._check_metadata(self.metadata_size)
            if not is_understood:
                self.resumes_at = seen + self._report.resume_at - self._report.left_over.size
                rest = (self._report.left_over.copy(), chunk[self._report.resume_at :])
                return chain(filter(None, rest), filter(self._feed_rest, chunks))
            seen += len(chunk)
        if self._is_understood(_library().enclavize_scan_finish(self._scanner)):
            return None
        return iter((self._report.left_over.copy(),))

    def finish(self) -> str:
        """Return the SHA-256 of the archive in hex, after all of it."""
        self._is_understood(_library().enclavize_scan_finish(self._scanner))
        return bytes(self._report.digest).hex()

    def tell(self, records: RowWriter) -> None:
        """Tell the writer of records what is in its files."""
        records.go_on(self._report.rows_size, self._report.heap_size, self._facts)

    @property
    def members(self) -> int:
        """How many members were read."""
        return int(self._report.members)

    @property
    def content_size(self) -> int:
        """Bytes of all files."""
        return int(self._report.content_size)

    @property
    def metadata_size(self) -> int:
        """Bytes of what is kept."""
        return int(self._report.metadata_size) + self._strings

    @property
    def merkle_size(self) -> int:
        """Bytes of all Merkle trees."""
        return int(self._report.merkle_size)

    def _feed(self, chunk: bytes) -> bool:
        return self._is_understood(_library().enclavize_scan_feed(self._scanner, chunk, len(chunk)))

    def _feed_rest(self, chunk: bytes) -> bool:
        self._feed(chunk)
        return True

    @staticmethod
    def _is_understood(result: int) -> bool:
        if result == -errno.ENOMEM:
            raise MemoryError
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result == 0

    def _look_into_elf_files(self, chunk: bytes) -> None:
        parts = self._report.elf_parts
        count = parts.size // ctypes.sizeof(_ElfPart)
        if not count:
            return
        view = memoryview(chunk)
        for part in (_ElfPart * count).from_address(parts.data):
            if part.is_first:
                self._elf = _ElfFile(part.file_size)
            if self._elf is None:
                continue
            facts = self._elf.feed(view[part.offset : part.offset + part.size])
            if facts is not None:
                self._facts.append(facts)
                self._strings += sum(map(len, facts.needed))


class _ElfFile:
    """A file that may be an ELF file: its scanner gets the pieces that the other reader would give."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._head_size = min(size, HEAD_SIZE)
        self._head: bytes | None = b""
        self._scanner: elf.ElfScanner | None = None

    def feed(self, part: memoryview) -> ElfFacts | None:
        """Take a part; return the facts of a whole ELF file."""
        self._left -= len(part)
        if self._head is not None:
            missing = self._head_size - len(self._head)
            if len(part) < missing:
                self._head += part
                return None
            if self._head:
                self._begin(memoryview(self._head + part[:missing]))
                part = part[missing:]
            else:
                self._begin(part)
                part = part[:0]
        if self._scanner is None:
            return None
        if len(part):
            self._scanner.feed(part)
        return None if self._left else self._scanner.facts()

    def _begin(self, head: memoryview) -> None:
        self._head = None
        if head[: len(elf.MAGIC)] == elf.MAGIC:
            self._scanner = elf.ElfScanner()
            self._scanner.feed(head)
