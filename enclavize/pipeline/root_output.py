"""Outputs that are files and no image: the root file system in a folder or in a tar archive."""

from __future__ import annotations

import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enclavize.oci.directory import XATTR_PREFIX
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.storage import atomic_file, storage_errors
from enclavize.rootfs import tar
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.index import index_image
from enclavize.rootfs.unpack import unpack_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.oci.stream import Sink
    from enclavize.progress import Reporter, Task
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.image import TeeImage

_TAR_TYPES = {
    FileType.REGULAR: tarfile.REGTYPE,
    FileType.DIRECTORY: tarfile.DIRTYPE,
    FileType.SYMLINK: tarfile.SYMTYPE,
    FileType.CHARACTER_DEVICE: tarfile.CHRTYPE,
    FileType.BLOCK_DEVICE: tarfile.BLKTYPE,
    FileType.FIFO: tarfile.FIFOTYPE,
}


class _BuiltSource:
    """The blobs of a TEE image that is not delivered: ours are in the cache, the others at the source."""

    origin = None

    def __init__(self, source: Image, cache: BlobCache) -> None:
        self._source = source.source
        self._theirs = {layer.digest for layer in source.layers}
        self._cache = cache
        self.remote = self._source.remote

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,
    ) -> BinaryIO:
        """Open a blob."""
        if descriptor.digest in self._theirs:
            return self._source.open_blob(descriptor, advance=advance, sink=sink)
        return self._cache.open(descriptor, advance=advance)

    def close(self) -> None:
        """Leave it to the source's owner."""


def as_image(tee: TeeImage, source: Image, cache: BlobCache) -> Image:
    """Return the TEE image as one to read: our layers are in the cache, the others at the source."""
    return replace(
        source,
        source=_BuiltSource(source, cache),
        manifest=tee.manifest,
        manifest_bytes=tee.manifest_bytes,
        config_bytes=tee.config_bytes,
        layers=tee.layers,
    )


def write_folder(image: Image, destination: Path, cache: BlobCache, reporter: Reporter) -> None:
    """Unpack into a new folder. Owners, devices and special bits are left out, as in docker buildx."""
    with (
        storage_errors("write", destination),
        tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}.") as scratch,
    ):
        root = Path(scratch) / "root"
        unpack_layers(image, root, cache=cache, reporter=reporter)
        root.rename(destination)  # over nothing, or over an empty folder


def write_tar(image: Image, destination: Path | None, cache: BlobCache, reporter: Reporter) -> None:
    """Write all files with all their metadata, to standard output if there is no destination."""
    rootfs = index_image(image, cache=cache, reporter=reporter)
    with reporter.task(f"write {destination or 'standard output'}") as task:
        if destination is None:
            for data in root_archive(rootfs, image, cache, task):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        with atomic_file(destination) as output:
            for data in root_archive(rootfs, image, cache, task):
                output.write(data)


def root_archive(rootfs: Rootfs, image: Image, cache: BlobCache, task: Task) -> Iterator[bytes]:
    """Yield a tar archive of the merged tree: directories, then data layer by layer, then the rest."""
    for entry in rootfs.entries:
        if entry.type is FileType.DIRECTORY and entry.path:
            yield _header(entry)
    for number, layer in enumerate(image.layers):
        wanted = {
            entry.member: entry
            for entry in rootfs.entries
            if entry.layer == number and entry.type is FileType.REGULAR and entry.path == entry.data_path
        }
        if wanted:
            with fetch_blob(image, layer, cache, task) as blob:
                yield from _data_of(blob, layer.digest, wanted)
    for entry in rootfs.entries:
        if entry.type is FileType.DIRECTORY:
            continue
        if entry.path != entry.data_path:
            yield _header(entry, hard_link=True)
        elif entry.type is not FileType.REGULAR:
            yield _header(entry)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _data_of(blob: BinaryIO, what: str, wanted: dict[int, Entry]) -> Iterator[bytes]:
    pieces = decompressed(blob, what)
    reader = tar.TarReader(pieces, what)
    for member, _ in enumerate(reader):
        if entry := wanted.get(member):
            yield _header(entry)
            for piece in reader.pieces():
                yield bytes(piece)
            yield bytes(-entry.size % tarfile.BLOCKSIZE)
    for _ in pieces:  # the digest is verified with the last byte
        pass


def _header(entry: Entry, *, hard_link: bool = False) -> bytes:
    member = tarfile.TarInfo(entry.path)
    member.type = tarfile.LNKTYPE if hard_link else _TAR_TYPES[entry.type]
    member.linkname = entry.data_path if hard_link else entry.link_target
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    member.size = entry.size if member.type == tarfile.REGTYPE else 0
    member.devmajor, member.devminor = entry.rdev
    member.pax_headers = {
        f"{XATTR_PREFIX}{name}": value.decode("utf-8", "surrogateescape")
        for name, value in sorted(entry.xattrs.items())
    }
    return member.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
