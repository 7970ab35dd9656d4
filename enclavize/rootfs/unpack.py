"""Unpack an image for ``enclavize run``: once, safely, without privileges.

What is unpacked is the merged tree, as the index has it: whiteouts and replacements are settled before the
first file is written, so nothing is ever overwritten or removed. Everything belongs to the caller, who can
read and write it; there are no devices, FIFOs, setuid or setgid bits: the enclave takes metadata from its
measured tree, and from the host nothing but the bytes of regular files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enclavize.lock import locked
from enclavize.oci.digest import short
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.storage import storage_errors
from enclavize.oci.unpacked import lock_of
from enclavize.rootfs import tar
from enclavize.rootfs.beneath import Beneath
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.index import index_image
from enclavize.rootfs.names import path_bytes
from enclavize.rootfs.verity import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

PERMISSIONS = 0o777
OWNER_READS_AND_WRITES = 0o600
OWNER_ENTERS = 0o700


def unpack_layers(image: Image, destination: Path, *, cache: BlobCache, reporter: Reporter) -> None:
    """Make ``destination`` the root file system of an image. It is there whole, or not at all.

    Nothing is done if it is there already: its name has to be that of its content, say the manifest's digest.
    Callers that want the same one wait for the first. Raises EnclavizeError.
    """
    if destination.is_dir():
        return
    rootfs = index_image(image, cache=cache, reporter=reporter)
    with storage_errors("unpack to", destination):
        destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = lock_of(destination)
        with locked(lock):
            if destination.is_dir():
                return
            lock.write_text(str(_size_of(rootfs)))
            with renamed_directory(destination) as root, Beneath(root) as beneath:
                make_directories(rootfs.entries[1:], beneath)
                for number, layer in enumerate(image.layers):
                    files = _files_of(rootfs, number)
                    if not files:
                        continue
                    what = f"layer {short(layer.digest)}"
                    with (
                        reporter.task(f"unpack {what}", total=layer.size) as task,
                        fetch_blob(image, layer, cache, task) as blob,
                    ):
                        _unpack_files(blob, what, files, beneath)
                make_links(rootfs.entries, beneath)
                root.chmod(rootfs.entries[0].mode & PERMISSIONS | OWNER_ENTERS)  # others may be who run it


@contextmanager
def renamed_directory(destination: Path) -> Iterator[Path]:
    """Give a directory that gets its name if the block ends well; remove what killed processes left."""
    prefix = f".{destination.name}-"
    for stale in destination.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=destination.parent, prefix=prefix))
    try:
        yield temporary
        temporary.rename(destination)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _size_of(rootfs: Rootfs) -> int:
    """Return the bytes of files and a block for everything else."""
    return sum(BLOCK_SIZE + entry.size for entry in rootfs.entries if entry.path == entry.data_path)


def make_directories(entries: Iterable[Entry], beneath: Beneath) -> None:
    """Make the directories among entries, which are in the order of their paths."""
    for entry in entries:
        if entry.type is FileType.DIRECTORY:
            beneath.directory(path_bytes(entry.path), entry.mode & PERMISSIONS | OWNER_ENTERS)


def _files_of(rootfs: Rootfs, layer: int) -> dict[int, Entry]:
    """Return the files of one layer that no higher layer replaced, by their place in its archive."""
    return {
        entry.member: entry
        for entry in rootfs.entries
        if entry.layer == layer and entry.type is FileType.REGULAR and entry.path == entry.data_path
    }


def _unpack_files(blob: BinaryIO, what: str, files: Mapping[int, Entry], beneath: Beneath) -> None:
    """Write files of a layer, each at the first of its paths. Reading the blob to its end verifies it."""
    chunks = decompressed(blob, what)
    reader = tar.TarReader(chunks, what)
    for member, _ in enumerate(reader):
        entry = files.get(member)
        if entry is not None:
            _write(entry, reader, beneath)
    for _ in chunks:
        pass


def _write(entry: Entry, reader: tar.TarReader, beneath: Beneath) -> None:
    mode = entry.mode & PERMISSIONS | OWNER_READS_AND_WRITES
    with os.fdopen(beneath.create(path_bytes(entry.path), mode), "wb") as file:
        for piece in reader.pieces():
            file.write(piece)


def make_links(entries: Iterable[Entry], beneath: Beneath) -> None:
    """Make symbolic links and the further names of hard links, after all files."""
    for entry in entries:
        path = path_bytes(entry.path)
        match entry.type:
            case FileType.SYMLINK if entry.path == entry.data_path:
                beneath.symlink(path, path_bytes(entry.link_target))
            case FileType.SYMLINK | FileType.REGULAR if entry.path != entry.data_path:
                beneath.hard_link(path, path_bytes(entry.data_path))
            case _:
                pass
