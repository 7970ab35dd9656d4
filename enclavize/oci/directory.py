"""A folder that holds a root file system, as an image of one layer.

The layer is a plain tar that depends on the folder alone: sorted, with numeric owners, with times not after
SOURCE_DATE_EPOCH where that is set. It is made once, into the blob cache, and read from there, so that a
folder that changes in the meantime does no harm. Symbolic links are kept, and never followed.
"""

from __future__ import annotations

import os
import stat
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError, InvalidImageError, UsageError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.document import canonical_json
from enclavize.oci.execution import NOTHING, not_of_an_image
from enclavize.oci.image import Image
from enclavize.oci.layout import INDEX_FILE, LAYOUT_FILE
from enclavize.oci.manifest import image_manifest
from enclavize.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from enclavize.oci.skopeo_directory import image_from_skopeo_directory, is_skopeo_directory
from enclavize.oci.storage import storage_errors
from enclavize.oci.stream import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.execution import Execution
    from enclavize.oci.platform import Platform
    from enclavize.oci.stream import Sink
    from enclavize.progress import Task

MAX_DEPTH = 256
"""Folders inside one another; each holds a file descriptor open while it is walked."""

XATTR_PREFIX = "SCHILY.xattr."
"""The pax keyword of extended attributes, as GNU tar, star and docker write it."""

_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


class CacheSource:
    """Blobs that are in the cache already."""

    origin = None
    remote = False

    def __init__(self, cache: BlobCache) -> None:
        self._cache = cache

    def open_blob(
        self,
        descriptor: Descriptor,
        *,
        advance: Callable[[int], None] | None = None,
        sink: Sink | None = None,  # noqa: ARG002 - it would write the same file again
    ) -> BinaryIO:
        """Open a blob."""
        try:
            return self._cache.open(descriptor, advance=advance)
        except FileNotFoundError as error:
            raise EnclavizeError(
                f"blob {descriptor.digest} has left the cache", hint="another build has emptied it; try again"
            ) from error

    def close(self) -> None:
        """Nothing is open."""


def image_from_directory(
    path: Path, execution: Execution, platform: Platform, cache: BlobCache, task: Task
) -> Image:
    """Turn a root file system into an image that is run as ``execution`` says, or read what skopeo wrote.

    Raises UsageError for other folders, and what reading raises.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder")
    if is_skopeo_directory(path):
        if execution != NOTHING:
            raise not_of_an_image(f"{path}, which skopeo wrote,")
        return image_from_skopeo_directory(f"dir:{path}", path, platform)
    if (path / LAYOUT_FILE).is_file() and (path / INDEX_FILE).is_file():
        raise UsageError(
            f"{path} is an image in the OCI layout, and no root file system", hint=f"name it oci:{path}"
        )
    with cache.writer() as writer:
        for data in tar_chunks(path, task.warn):
            writer.write(data)
            task.advance(len(data))
    layer = Descriptor(media_type=OCI_LAYER, digest=writer.digest, size=writer.size)
    config_bytes = canonical_json(
        {
            "architecture": platform.architecture,
            "os": platform.os,
            "config": execution.to_json(),
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }
    )
    config = Descriptor(media_type=OCI_CONFIG, digest=sha256_digest(config_bytes), size=len(config_bytes))
    manifest_bytes = image_manifest(config, (layer,))
    return Image(
        name=f"dir:{path}",
        manifest=Descriptor(
            media_type=OCI_MANIFEST, digest=sha256_digest(manifest_bytes), size=len(manifest_bytes)
        ),
        manifest_bytes=manifest_bytes,
        config_bytes=config_bytes,
        layers=(layer,),
        source=CacheSource(cache),
    )


@dataclass(kw_only=True)
class _Walk:
    root: Path
    warn: Callable[[str], None]
    newest: int | None
    links: dict[tuple[int, int], str] = field(default_factory=dict)

    def folder(self, descriptor: int, prefix: str, depth: int) -> Iterator[bytes]:
        """Yield the members below a folder that is open as ``descriptor``."""
        if depth > MAX_DEPTH:
            raise InvalidImageError(f"{self.root}: folders are nested more than {MAX_DEPTH} deep")
        for name in sorted(os.listdir(descriptor), key=os.fsencode):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            path = prefix + name
            if stat.S_ISSOCK(status.st_mode):
                self.warn(f"{path} is a socket and is left out")
            elif stat.S_ISDIR(status.st_mode):
                yield self._header(descriptor, name, path, status)
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                try:
                    yield from self.folder(below, f"{path}/", depth + 1)
                finally:
                    os.close(below)
            elif stat.S_ISREG(status.st_mode):
                yield from self._file(descriptor, name, path, status)
            else:
                yield self._header(descriptor, name, path, status)

    def _file(self, folder: int, name: str, path: str, status: os.stat_result) -> Iterator[bytes]:
        inode = (status.st_dev, status.st_ino)
        if first := self.links.get(inode):
            yield self._header(folder, name, path, status, hard_link=first)
            return
        if status.st_nlink > 1:
            self.links[inode] = path
        yield self._header(folder, name, path, status)
        with os.fdopen(
            os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb"
        ) as stream:
            remaining = status.st_size
            while remaining and (data := stream.read(min(CHUNK_SIZE, remaining))):
                remaining -= len(data)
                yield data
            if remaining or stream.read(1):
                raise EnclavizeError(f"{self.root / path} changed while it was read", hint="try again")
        yield bytes(-status.st_size % tarfile.BLOCKSIZE)

    def _header(
        self, folder: int, name: str, path: str, status: os.stat_result, *, hard_link: str = ""
    ) -> bytes:
        member = tarfile.TarInfo(path)
        member.type = tarfile.LNKTYPE if hard_link else _TYPES[stat.S_IFMT(status.st_mode)]
        member.mode = stat.S_IMODE(status.st_mode)
        member.uid, member.gid = status.st_uid, status.st_gid
        member.mtime = int(status.st_mtime) if self.newest is None else min(int(status.st_mtime), self.newest)
        if member.isreg():
            member.size = status.st_size
        elif member.issym():
            member.linkname = os.readlink(name, dir_fd=folder)
        elif member.islnk():
            member.linkname = hard_link
        elif member.isdev():
            member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        if member.isreg() or member.isdir():
            member.pax_headers = _extended_attributes(folder, name)
        return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tar_chunks(root: Path, warn: Callable[[str], None]) -> Iterator[bytes]:
    """Yield a tar of what is below ``root``; without the folder itself. ``warn`` hears what is left out."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    walk = _Walk(root=root, warn=warn, newest=int(epoch) if epoch.isdecimal() else None)
    with storage_errors("read", root):
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield from walk.folder(descriptor, "", 0)
        finally:
            os.close(descriptor)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _extended_attributes(folder: int, name: str) -> dict[str, str]:
    """Return the attributes that travel in layers: file capabilities and those of users."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        return {
            XATTR_PREFIX + key: os.getxattr(descriptor, key).decode("utf-8", "surrogateescape")
            for key in sorted(os.listxattr(descriptor))
            if key == "security.capability" or key.startswith("user.")
        }
    except OSError:  # the file system has none
        return {}
    finally:
        os.close(descriptor)
