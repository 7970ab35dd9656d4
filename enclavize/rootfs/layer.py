"""Read one layer once: verify it, hash every file, look at ELF headers and first lines.

The result is a list of *records* in the order of the archive, because what a layer does to the tree
below it can depend on that order. Nothing is unpacked.
"""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError, UsageError
from enclavize.oci.digest import algorithm_of, new_hash
from enclavize.oci.limits import MAX_RATIO
from enclavize.rootfs import elf, native_scan, tar
from enclavize.rootfs.canonical import canonical_path
from enclavize.rootfs.decompress import INPUT_SIZE, decompressed
from enclavize.rootfs.entry import PATH_MAX, Entry, FileType
from enclavize.rootfs.names import path_text, printable
from enclavize.rootfs.readahead import read_ahead
from enclavize.rootfs.records import GlobalHeader, HardLink, OpaqueWhiteout, Whiteout
from enclavize.rootfs.verity import VerityStream, tree_size, verity_of
from enclavize.rootfs.well_known import KEEP_NAMED_SIZE, KEPT_FILES, KEPT_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from enclavize.oci.digest import Digest
    from enclavize.rootfs.decompress import Stream
    from enclavize.rootfs.records import Record
    from enclavize.rootfs.rows import RowWriter

WHITEOUT_PREFIX = ".wh."
"""image-spec, layer.md, "Whiteouts"."""
OPAQUE_WHITEOUT = ".wh..wh..opq"
AUFS_PREFIX = ".wh..wh."
"""Other names with it are the bookkeeping of the AUFS driver, no files of the image."""

MAX_ENTRIES = 1_000_000
"""Members of one layer."""

MAX_METADATA_SIZE = 256 << 20
"""Bytes of the names, link targets, xattrs and kept content of one layer."""

MAX_LAYER_SIZE = 64 << 30
"""Bytes of one layer after decompression."""
RATIO_FREE_SIZE = 1 << 30
"""Bytes that any layer may become; beyond it counts MAX_RATIO."""
MAX_LAYER_SIZE_VARIABLE = "ENCLAVIZE_MAX_LAYER_SIZE"
"""Environment variable: bytes, takes the place of all three."""
_ABOUT_THE_LIMIT = f"if that is no mistake, set {MAX_LAYER_SIZE_VARIABLE} to the number of bytes to allow"

MAX_ID = 0xFFFF_FFFE
"""Largest user or group id; the next one means "no id" to the kernel."""
MAX_MAJOR, MAX_MINOR = (1 << 12) - 1, (1 << 20) - 1
"""Largest device numbers (include/linux/kdev_t.h)."""
MAX_TIME = 1 << 62
MAX_XATTR_NAME = 255
"""limits.h in Linux."""

KEEP_ALWAYS_SIZE = 64
"""Files of up to this many bytes are kept whole."""
KEEP_SCRIPT_SIZE = 16 << 10
"""Scripts of shells are kept up to this many bytes: what they start tells where they can run."""

_MAX_INTERPRETER_LINE = 256
"""BINPRM_BUF_SIZE in include/uapi/linux/binfmts.h."""
_SHELL_LINE = re.compile(r"sh($|[ \t])")
_READ_AHEAD = 3

_TYPES = {
    tar.REGULAR: FileType.REGULAR,
    tar.SYMLINK: FileType.SYMLINK,
    tar.CHARACTER_DEVICE: FileType.CHARACTER_DEVICE,
    tar.BLOCK_DEVICE: FileType.BLOCK_DEVICE,
    tar.DIRECTORY: FileType.DIRECTORY,
    tar.FIFO: FileType.FIFO,
}


def size_limit(compressed_size: int) -> int:
    """Return the most bytes that a layer of ``compressed_size`` may become."""
    text = os.environ.get(MAX_LAYER_SIZE_VARIABLE)
    if text is None:
        return min(MAX_LAYER_SIZE, max(RATIO_FREE_SIZE, compressed_size * MAX_RATIO))
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{MAX_LAYER_SIZE_VARIABLE} is {text!r}", hint="give a number of bytes")
    return int(text)


def scan_layer(
    stream: Stream,
    *,
    what: str,
    number: int,
    diff_id: Digest,
    limit: int,
    records: RowWriter,
    merkle: BinaryIO,
    copy: BinaryIO | None = None,
) -> int:
    """Read a layer to its end.

    Merkle trees go to the file ``merkle``, from where it stands, and the uncompressed layer to ``copy``.
    ``records`` gets what is found, in files. Returns the bytes of these trees. Raises InvalidImageError, or
    IntegrityError if the layer is not what ``diff_id`` says; an error of ``stream`` has precedence over what
    the bad bytes look like.
    """
    scanner = _Scanner(what, number, limit, merkle)
    try:
        with _ahead(_stored_pieces(stream)) as stored:
            source = _limited_chunks(_ReadAhead(stored), what, limit, copy)
            if native_scan.is_available() and algorithm_of(diff_id) == "sha256":
                with _ahead(source) as chunks:
                    found = scanner.scan_natively(chunks, records)
                    _check_content(f"sha256:{found}", what, diff_id)
            else:
                with _ahead(_verified_chunks(source, what, diff_id)) as chunks:
                    scanner.scan(chunks, records)
    except InvalidImageError:
        while stream.read(1 << 20):
            pass
        raise
    return scanner.merkle_size


@contextmanager
def _ahead(chunks: Generator[bytes, None, None]) -> Iterator[Iterator[bytes]]:
    """Let chunks be made in another thread."""
    with closing(chunks), closing(read_ahead(chunks, _READ_AHEAD)) as ahead:
        yield ahead


class _ReadAhead:
    """A stored layer that another thread reads: it fetches and verifies while this one inflates."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int, /) -> bytes:
        assert size == INPUT_SIZE
        return next(self._pieces, b"")


def _stored_pieces(stream: Stream) -> Generator[bytes, None, None]:
    while piece := stream.read(INPUT_SIZE):
        yield piece


def _limited_chunks(
    stream: Stream, what: str, limit: int, copy: BinaryIO | None
) -> Generator[bytes, None, None]:
    """Yield the decompressed layer."""
    size = 0
    for chunk in decompressed(stream, what):
        size += len(chunk)
        if size > limit:
            raise InvalidImageError(
                f"{what} has more than {limit} bytes after decompression",
                hint=_ABOUT_THE_LIMIT,
            )
        if copy is not None:
            copy.write(chunk)
        yield chunk


def _verified_chunks(chunks: Iterable[bytes], what: str, diff_id: Digest) -> Generator[bytes, None, None]:
    """Yield the same; raise at the end if it is not the layer that ``diff_id`` names."""
    content = new_hash(diff_id)
    for chunk in chunks:
        content.update(chunk)
        yield chunk
    _check_content(f"{content.name}:{content.hexdigest()}", what, diff_id)


def _check_content(found: str, what: str, diff_id: Digest) -> None:
    if found != diff_id:
        raise IntegrityError(f"{what} has the content {found}, but the image's configuration says {diff_id}")


class _Scanner:
    """Turns the members of one layer into records."""

    def __init__(self, what: str, number: int, limit: int, merkle: BinaryIO) -> None:
        self._what = what
        self._number = number
        self._limit = limit
        self._merkle = merkle
        self._merkle_start = merkle.tell()
        self._member = 0
        self._content_size = 0
        self._metadata_size = 0
        self._archive_start = 0
        self.merkle_size = 0

    def scan_natively(self, chunks: Iterator[bytes], records: RowWriter) -> str:
        """Read all members, natively as far as possible; return the archive's SHA-256."""
        native = native_scan.NativeScan(
            descriptor=self._merkle.fileno(),
            records=records,
            merkle_start=self._merkle_start,
            max_members=MAX_ENTRIES,
            max_content_size=self._limit,
            kept_names=(*sorted(KEPT_FILES), *KEPT_FOLDERS),
            check_metadata=self._check_metadata,
        )
        with native:
            rest = native.scan(chunks)
            native.tell(records)
            self._member = native.members
            self._content_size = native.content_size
            self._metadata_size = native.metadata_size
            self.merkle_size = native.merkle_size
            if rest is not None:
                self._merkle.seek(self._merkle_start + self.merkle_size)
                self._archive_start = native.resumes_at
                self.scan(rest, records)
            return native.finish()

    def scan(self, chunks: Iterator[bytes], records: RowWriter) -> None:
        """Read all members that are left."""
        reader = tar.TarReader(chunks, self._what)
        for number, member in enumerate(reader, self._member):
            if number >= MAX_ENTRIES:
                raise InvalidImageError(f"{self._what} has more than {MAX_ENTRIES} members")
            self._member = number
            record = self._record(member, reader)
            records.add(record)
            self._metadata_size += len(member.name) + len(member.link) + _kept_size(record)
            self._check_metadata(self._metadata_size)
        for _ in chunks:
            pass

    def _check_metadata(self, size: int) -> None:
        """Raise if there is too much of it."""
        if size > MAX_METADATA_SIZE:
            raise InvalidImageError(f"{self._what} has more than {MAX_METADATA_SIZE} bytes of metadata")

    def _record(self, member: tar.Member, reader: tar.TarReader) -> Record:
        path = canonical_path(member.name, self._what)
        folder, _, name = path.rpartition("/")
        if name.startswith(WHITEOUT_PREFIX):
            if name == OPAQUE_WHITEOUT:
                return OpaqueWhiteout(path=folder)
            if name.startswith(AUFS_PREFIX):
                raise self._foreign(path)
            hidden = name[len(WHITEOUT_PREFIX) :]
            if hidden in {"", ".", ".."}:
                raise self._error(path, "is a whiteout of nothing")
            return Whiteout(path=f"{folder}/{hidden}" if folder else hidden)
        if path.startswith(AUFS_PREFIX):
            raise self._foreign(path)
        if member.uid > MAX_ID or member.gid > MAX_ID:
            raise self._error(path, "has an impossible owner")
        if member.type == tar.HARD_LINK:
            if b".." in member.link.split(b"/"):
                # docker takes it by its letters, containerd follows links.
                raise self._error(path, "is a hard link by a path with '..', which engines read differently")
            return HardLink(
                path=path,
                # Absolute names are names below the root of the image, like all others.
                target=canonical_path(member.link, f"{self._what}, hard link"),
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                xattrs=self._xattrs(member.xattrs, path),
            )
        self._check(member, path)
        if member.type == tar.GLOBAL_HEADER:
            return GlobalHeader(path=path)
        if member.type == tar.REGULAR:
            return self._regular(member, path, reader)
        link = path_text(member.link) if member.type == tar.SYMLINK else ""
        return Entry(
            path=path,
            type=_TYPES[member.type],
            mode=member.mode,
            uid=member.uid,
            gid=member.gid,
            mtime=member.mtime,
            size=len(member.link) if link else 0,
            link_target=link,
            rdev=member.rdev,
            xattrs=self._xattrs(member.xattrs, path),
            layer=self._number,
            member=self._member,
            data_path=path,
        )

    def _check(self, member: tar.Member, path: str) -> None:
        if not path and member.type != tar.DIRECTORY:
            raise self._error("", "is no directory")
        if member.type == tar.GNU_SPARSE:
            raise self._error(
                path,
                "is a sparse file in GNU's old format, which no container engine unpacks",
                hint="write the layer again with: tar --format=posix, or without --sparse",
            )
        if member.type == tar.SYMLINK and (not 0 < len(member.link) <= PATH_MAX or b"\0" in member.link):
            raise self._error(path, "is a symbolic link with an impossible target")
        if abs(member.mtime) > MAX_TIME:
            raise self._error(path, "has an impossible time")
        if not (0 <= member.rdev[0] <= MAX_MAJOR and 0 <= member.rdev[1] <= MAX_MINOR):
            raise self._error(path, "has impossible device numbers")
        self._content_size += member.size  # with the holes of sparse files, which cost the archive nothing
        if self._content_size > self._limit:
            raise self._error(
                path,
                f"brings the files to {self._content_size} bytes, the layer may have {self._limit}",
                hint=_ABOUT_THE_LIMIT,
            )

    def _regular(self, member: tar.Member, path: str, reader: tar.TarReader) -> Entry:
        size = member.size
        data_offset = self._archive_start + reader.offset if reader.extents is None else 0
        pieces = reader.pieces()
        first = next(pieces, memoryview(b""))
        scanner = elf.ElfScanner() if first[:4] == elf.MAGIC else None
        if scanner is not None:
            scanner.feed(first)
        offset = self.merkle_size
        if len(first) == size:
            digest = sha256(first).digest()
            verity, tree = verity_of(first)
            self._merkle.write(tree)
        else:
            digest, verity = self._stream(first, pieces, size, scanner)
        self.merkle_size += tree_size(size)
        line = _interpreter_line(first)
        keep = (
            size <= KEEP_ALWAYS_SIZE
            or (size <= KEEP_NAMED_SIZE and (path in KEPT_FILES or path.startswith(KEPT_FOLDERS)))
            or (size <= KEEP_SCRIPT_SIZE and _SHELL_LINE.search(line) is not None)
        )
        return Entry(
            path=path,
            type=FileType.REGULAR,
            mode=member.mode,
            uid=member.uid,
            gid=member.gid,
            mtime=member.mtime,
            size=size,
            xattrs=self._xattrs(member.xattrs, path),
            sha256=digest,
            verity=verity,
            layer=self._number,
            member=self._member,
            data_path=path,
            merkle_offset=offset,
            data_offset=data_offset,
            elf=scanner.facts() if scanner is not None else None,
            interpreter_line=line,
            content=bytes(first) if keep else None,
        )

    def _stream(
        self, first: memoryview, pieces: Iterator[memoryview], size: int, scanner: elf.ElfScanner | None
    ) -> tuple[bytes, bytes]:
        """Hash content that comes in several pieces; return its SHA-256 and its fs-verity digest."""
        start = self._merkle_start + self.merkle_size

        def write(offset: int, hashes: bytes) -> None:
            if self._merkle.tell() != start + offset:
                self._merkle.seek(start + offset)
            self._merkle.write(hashes)

        content = sha256(first)
        verity = VerityStream(size, write)
        verity.update(first)
        for piece in pieces:
            content.update(piece)
            verity.update(piece)
            if scanner is not None:
                scanner.feed(piece)
        digest = verity.finish()
        self._merkle.seek(start + tree_size(size))
        return content.digest(), digest

    def _xattrs(self, xattrs: Mapping[str, bytes], path: str) -> Mapping[str, bytes]:
        for name in xattrs:
            if not 0 < len(name.encode("utf-8", "surrogateescape")) <= MAX_XATTR_NAME or "\0" in name:
                raise self._error(path, "has an xattr with an impossible name")
        return xattrs

    def _foreign(self, path: str) -> InvalidImageError:
        return self._error(path, "is a file of AUFS, which some engines leave out and others keep")

    def _error(self, path: str, problem: str, hint: str | None = None) -> InvalidImageError:
        return InvalidImageError(f"{self._what}: /{printable(path)} {problem}", hint=hint)


def _kept_size(record: Record) -> int:
    """Return about how many bytes of a file's content and xattrs a record keeps."""
    if not isinstance(record, Entry):
        return 0
    xattrs = sum(len(name) + len(value) for name, value in record.xattrs.items()) if record.xattrs else 0
    strings = sum(map(len, record.elf.needed)) if record.elf is not None else 0
    return xattrs + strings + len(record.content or b"")


def _interpreter_line(head: memoryview) -> str:
    """Return the line after ``#!`` as the kernel reads it."""
    start = bytes(head[:_MAX_INTERPRETER_LINE])
    if not start.startswith(b"#!"):
        return ""
    line = start[2:].partition(b"\n")[0].partition(b"\0")[0]
    return path_text(line.strip(b" \t"))
