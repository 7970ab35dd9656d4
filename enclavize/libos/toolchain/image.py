"""Toolchains in images: what is needed goes into the blob cache, by content, in one reading of each layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import EnclavizeError, IntegrityError, UsageError
from enclavize.libos.toolchain.tree import FILE, Content, Found, checked_size
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import Digest, short
from enclavize.oci.fetch import fetch_blob
from enclavize.rootfs import tar
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter
    from enclavize.rootfs.entry import ElfFacts, Entry
    from enclavize.rootfs.tree import Rootfs


class ImageTree:
    """The root file system of an image."""

    def __init__(self, image: Image, rootfs: Rootfs, cache: BlobCache) -> None:
        self._image = image
        self._rootfs = rootfs
        self._cache = cache
        self.name = f"{image.name}:/"

    def find(self, path: str) -> Found | None:
        """Return the file at ``path``."""
        try:
            entry = self._rootfs.resolve(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsageError(f"{self.name}{printable(path)}: {error.strerror}") from error
        if entry.type is not FileType.REGULAR:
            raise UsageError(f"{self.name}{printable(path)} is a {entry.type}, no regular file")
        checked_size(self.name, path, entry.size)
        return Found(path=entry.path, mode=entry.mode, size=entry.size)

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        entry = self._rootfs.find(folder)
        if entry is None:
            return ()
        names = (child.path.rpartition("/")[2] for child in self._rootfs.children(entry.path))
        return tuple(filter(str.isprintable, names))

    def elf(self, found: Found) -> ElfFacts | None:
        """Return what the index knows."""
        return self._rootfs.resolve(found.path).elf

    def contents(self, files: Collection[Found], reporter: Reporter) -> Mapping[str, Content]:
        """Bring the files into the cache, where they are not there yet."""
        entries = [self._rootfs.resolve(found.path) for found in files]
        missing: dict[int, dict[int, Entry]] = {}
        for entry in entries:
            if not self._cache.has(_descriptor(entry).digest):
                missing.setdefault(entry.layer, {})[entry.member] = entry
        for number, wanted in sorted(missing.items()):
            self._extract(number, wanted, reporter)
        return {
            entry.path: Content(
                sha256=entry.sha256.hex(), open=partial(_open_cached, self._cache, _descriptor(entry))
            )
            for entry in entries
        }

    def _extract(self, number: int, wanted: Mapping[int, Entry], reporter: Reporter) -> None:
        """Read a layer up to the last member that is wanted. The index says what each of them must be."""
        layer = self._image.layers[number]
        what = f"layer {short(layer.digest)}"
        last = max(wanted)
        with (
            reporter.task(f"read the toolchain from {what}", total=layer.size) as task,
            fetch_blob(self._image, layer, self._cache, task) as blob,
        ):
            reader = tar.TarReader(decompressed(blob, what), what)
            for member, _ in enumerate(reader):
                entry = wanted.get(member)
                if entry is not None:
                    with self._cache.writer(_descriptor(entry).digest) as writer:
                        for piece in reader.pieces():
                            writer.write(bytes(piece))
                if member == last:
                    return
        raise IntegrityError(f"{what} has fewer members than its index says", hint="add --no-cache")


def _descriptor(entry: Entry) -> Descriptor:
    return Descriptor(media_type=FILE, digest=Digest(f"sha256:{entry.sha256.hex()}"), size=entry.size)


def _open_cached(cache: BlobCache, descriptor: Descriptor) -> BinaryIO:
    try:
        return cache.open(descriptor)
    except FileNotFoundError as error:
        raise EnclavizeError(
            f"blob {descriptor.digest} has left the cache", hint="another build has emptied it; try again"
        ) from error
