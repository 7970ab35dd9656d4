"""Take the instance out of a TEE image; what comes from outside is checked and bounded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.oci.digest import new_hash
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.stream import chunks
from enclavize.rootfs import tar
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.layer import MAX_ENTRIES, size_limit
from enclavize.rootfs.names import path_text
from enclavize.rootfs.tar import TarReader
from enclavize.rootfs.verity import VerityStream
from enclavize.tee import layout
from enclavize.tee.annotations import FORMAT, LIBOS
from enclavize.tee.comparison import LayerComparison, conversion_error, converted, is_of_a_conversion
from enclavize.tee.description import parse_description
from enclavize.tee.layout import FORMAT_VERSION, FORMAT_VERSIONS, MAX_DESCRIPTION_SIZE
from enclavize.tee.tar import (
    DIRECTORY_MODE,
    FILE_MODE,
    LINK_MODE,
    PROGRAM_MODE,
    WRITABLE_MODE,
    WRITTEN_MODE,
    parents,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.errors import EnclavizeError
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.progress import Task
    from enclavize.rootfs.tar import Member
    from enclavize.tee.description import TeeDescription
    from enclavize.tee.format import InstanceFormat

_MAX_DIRECTORIES = 1024


@dataclass(frozen=True, kw_only=True)
class TeeContents:
    """The instance of a TEE image, in a folder on this machine. ``hashes`` are SHA-256 by path, in hex."""

    description: TeeDescription
    format: InstanceFormat
    folder: Path
    hashes: dict[str, str]

    def path(self, name: str) -> Path:
        """Return where a file is; ``name`` is its path below ``/.enclave``."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return the content of a file. Raises InvalidImageError if it is not there."""
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise InvalidImageError(f"the TEE image has no /{layout.ROOT}/{name}") from error

    def size(self, name: str) -> int:
        """Return the size of a file in bytes. Raises InvalidImageError if it is not there."""
        try:
            return self.path(name).stat().st_size
        except OSError as error:
            raise InvalidImageError(f"the TEE image has no /{layout.ROOT}/{name}") from error

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a file in hex, "" if it is not there."""
        return self.hashes.get(name, "")

    def fs_verity(self, name: str) -> bytes:
        """Return the fs-verity digest of a file. Raises InvalidImageError if it is not there."""
        stream = VerityStream(self.size(name), lambda _offset, _hashes: None)
        with self.path(name).open("rb") as file:
            for data in chunks(file):
                stream.update(data)
        return stream.finish()

    def check_files(self) -> None:
        """Compare the files with what ``enclave.json`` says about them. Raises IntegrityError.

        So is the layer's index: two tar readers cannot be told different things.
        """
        for name, digest in self.hashes.items():
            described = self.description.files.get(name)
            if described is None and not self.format.describes(name):
                continue
            if described is None or (described.sha256, described.size) != (digest, self.size(name)):
                raise IntegrityError(f"/{layout.ROOT}/{name} is not the file that enclave.json describes")


def require_tee_image(image: Image) -> None:
    """Refuse an ordinary image, an unknown format, and what others may read otherwise.

    Raises InvalidImageError.
    """
    version = image.config.labels.get(FORMAT)
    if version is None:
        raise InvalidImageError(
            f"{image.name} is not a TEE image", hint="make one of it with: enclavize build IMAGE -t TEE_IMAGE"
        )
    if version not in map(str, FORMAT_VERSIONS):
        raise InvalidImageError(
            f"{image.name} is a TEE image of format {version[:20]!r}; this version of enclavize knows 1 to "
            f"{FORMAT_VERSION}"
        )
    image.require_one_reading()


def read_contents(
    image: Image, form: InstanceFormat, folder: Path, cache: BlobCache, task: Task | None = None
) -> TeeContents:
    """Read the last layers, which hold the instance, into ``folder``.

    Their digests are verified to the last byte, and without compression they are what a build of their format
    version writes. Raises InvalidImageError, IntegrityError.
    """
    require_tee_image(image)
    version = int(image.config.labels[FORMAT])
    layers = own_layers(image, form)
    extraction = _Extraction(form, folder)
    comparisons = []
    for number, (layer, diff_id) in enumerate(layers):
        what = f"layer {layer.digest} of {image.name}"
        with fetch_blob(image, layer, cache, task) as stream:
            source = _verified_content(stream, layer, diff_id, what)
            comparison = LayerComparison(source, version, what, converted(layer))
            extraction.take_layer(comparison, what, shared=number < len(layers) - 1)
            comparison.finish()
            for _ in chunks(stream):  # the digest is verified with the last byte
                pass
        comparisons.append(comparison)
    extraction.check(image.name)
    for comparison in comparisons:
        comparison.verify()
    hashes = extraction.hashes
    data = (folder / layout.DESCRIPTION).read_bytes()
    description = parse_description(data)
    for label, found in ((LIBOS, description.libos), (FORMAT, str(description.version))):
        if found != image.config.labels[label]:
            raise IntegrityError(f"the label {label} and enclave.json contradict each other")
    if data != description.to_bytes():
        raise IntegrityError(f"/{layout.ROOT}/{layout.DESCRIPTION} is not as a build writes it")
    del hashes[layout.DESCRIPTION]
    return TeeContents(description=description, format=form, folder=folder, hashes=hashes)


def kept_layers(image: Image, form: InstanceFormat) -> range:
    """Return the numbers of the source's layers, which :func:`read_contents` does not read."""
    return range(len(image.layers) - form.layers)


def own_layers(image: Image, form: InstanceFormat) -> list[tuple[Descriptor, Digest]]:
    """Return the layers that a build added, base first, with their diff ids. Raises InvalidImageError."""
    diff_ids = image.config.diff_ids
    if len(diff_ids) != len(image.layers) or len(image.layers) < form.layers:
        raise InvalidImageError(
            f"{image.name} has {len(image.layers)} layers and {len(diff_ids)} diff ids, which cannot be"
        )
    return list(zip(image.layers[-form.layers :], diff_ids[-form.layers :], strict=True))


def _verified_content(stream: BinaryIO, layer: Descriptor, diff_id: Digest, what: str) -> Iterator[bytes]:
    """Yield a layer without its compression; raise at its end if it is not the one that ``diff_id`` names."""
    if diff_id == layer.digest:  # nothing is compressed, and the stream is verified
        yield from chunks(stream)
        return
    content, size, limit = new_hash(diff_id), 0, size_limit(layer.size)
    for chunk in decompressed(stream, what):
        size += len(chunk)
        if size > limit:
            raise InvalidImageError(f"{what} has more than {limit} bytes after decompression")
        content.update(chunk)
        yield chunk
    found = f"{content.name}:{content.hexdigest()}"
    if found != diff_id:
        raise IntegrityError(f"{what} has the content {found}, but the image's configuration says {diff_id}")


class _Extraction:
    """Takes files out of the layers; everything else that is in them must belong to the instance."""

    def __init__(self, form: InstanceFormat, folder: Path) -> None:
        self._format, self._folder = form, folder
        self._writable = {f"{layout.ROOT}/{name}" for name in form.writable_directories}
        self._directories: dict[str, str] = {}
        self._links: set[str] = set()
        self._mount_files: set[str] = set()
        self._mount_directories: set[str] = set()
        self.hashes: dict[str, str] = {}

    def take_layer(self, comparison: LayerComparison, what: str, *, shared: bool) -> None:
        """Read a whole archive, which ``what`` names. Raises InvalidImageError.

        ``shared``: it is the one that images of one LibOS version have in common.
        """
        archive = TarReader(comparison.chunks(), what)
        for number, member in enumerate(archive):
            if number >= MAX_ENTRIES:
                raise InvalidImageError(f"{what} has more than {MAX_ENTRIES} members")
            self._take(archive, member, comparison, what, shared=shared)

    def check(self, image: str) -> None:
        """Check that all is there, and no other directory. Raises InvalidImageError."""
        form, writable = self._format, self._writable
        mounts = self._mount_files | self._mount_directories
        own = {*(f"{layout.ROOT}/{name}" for name in self.hashes), *self._links, *writable, *mounts}
        above = {directory for path in own for directory in parents(path)}
        for path in sorted(self._directories.keys() - writable - self._mount_directories - above):
            raise _foreign(path, self._directories[path])
        for name in sorted(form.required | {layout.DESCRIPTION}):
            if name not in self.hashes:
                raise InvalidImageError(f"{image} has no {layout.ROOT}/{name} in the layer of its enclave")
        for path in sorted(form.links.keys() - self._links | writable - self._directories.keys()):
            raise InvalidImageError(f"{image} has no {path} in the layer of its enclave")

    def _take(
        self, archive: TarReader, member: Member, comparison: LayerComparison, what: str, *, shared: bool
    ) -> None:
        path, link = path_text(member.name), path_text(member.link)
        if member.type == tar.DIRECTORY:
            path = path.removesuffix("/")
            if len(self._directories) >= _MAX_DIRECTORIES:
                raise _foreign(path, what)
            self._directories[path] = what
            writable = not shared and (path in self._writable or self._is_for_a_volume(path, member))
            mode = WRITABLE_MODE if writable else DIRECTORY_MODE
            comparison.member(path, tar.DIRECTORY, mode, implied=not writable)
            return
        name = path.removeprefix(f"{layout.ROOT}/")
        if member.type == tar.SYMLINK and self._format.links.get(path) == link and not shared:
            self._links.add(path)
            comparison.member(path, tar.SYMLINK, LINK_MODE, target=link)
            return
        if member.type == tar.REGULAR and path in self._format.mount_files - self._mount_files and not shared:
            self._mount_files.add(path)
            comparison.member(path, tar.REGULAR, FILE_MODE)
            return
        limit = self._limit(name) if path == f"{layout.ROOT}/{name}" else None
        if limit is None or member.type != tar.REGULAR or self._format.is_shared(name) != shared:
            raise _foreign(path, what)
        if name in self.hashes:
            raise InvalidImageError(f"{what} has {path} twice")
        if member.size > limit:
            raise InvalidImageError(f"{what}: {path} has {member.size} bytes, more than {limit}")
        mode = PROGRAM_MODE if self._format.is_program(name) else FILE_MODE
        if self._format.is_written(name) and member.mode == WRITTEN_MODE:
            mode = WRITTEN_MODE
        comparison.member(path, tar.REGULAR, mode, size=member.size)
        self.hashes[name] = _copy(archive.pieces(), self._folder / name)

    def _is_for_a_volume(self, path: str, member: Member) -> bool:
        """Note a directory that may be one for volumes: which these are is measured, and known at the end."""
        found = bool(
            self._format.mount_files
            and member.mode == WRITABLE_MODE
            and path.partition("/")[0] != layout.ROOT
        )
        if found:
            self._mount_directories.add(path)
        return found

    def _limit(self, name: str) -> int | None:
        if any(part in ("", ".", "..") for part in name.split("/")):
            return None
        return MAX_DESCRIPTION_SIZE if name == layout.DESCRIPTION else self._format.limit(name)


def _foreign(path: str, what: str) -> EnclavizeError:
    if is_of_a_conversion(path):
        return conversion_error(what, "eStargz")
    return InvalidImageError(f"{what} has {path[:200]!r}, which is not of the enclave")


def _copy(pieces: Iterator[memoryview], path: Path) -> str:
    """Write a new file, and return its SHA-256 in hex."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as output:
        for data in pieces:
            digest.update(data)
            output.write(data)
    return digest.hexdigest()
