"""Take the instance out of a TEE image; what comes from outside is checked and bounded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.libos.formats import format_for
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.media_types import layer_compression
from enclavize.oci.stream import chunks
from enclavize.rootfs import tar
from enclavize.rootfs.entry import path_text
from enclavize.rootfs.layer import MAX_ENTRIES
from enclavize.rootfs.tar import TarReader
from enclavize.rootfs.verity import VerityStream
from enclavize.tee import layout
from enclavize.tee.annotations import FORMAT, FORMAT_VERSION, LIBOS
from enclavize.tee.description import MAX_DESCRIPTION_SIZE, parse_description
from enclavize.tee.tar import parents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.libos.base import InstanceFormat
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Task
    from enclavize.rootfs.tar import Member
    from enclavize.tee.description import TeeDescription

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
            if described is None or described.sha256 != digest:
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
    if version != FORMAT_VERSION:
        raise InvalidImageError(
            f"{image.name} is a TEE image of format {version[:20]!r}; this version of enclavize knows "
            f"{FORMAT_VERSION}"
        )
    image.require_one_reading()


def read_contents(image: Image, folder: Path, cache: BlobCache, task: Task | None = None) -> TeeContents:
    """Read the last layers, which hold the instance, into ``folder``.

    Their digests are verified to the last byte. Raises InvalidImageError, IntegrityError.
    """
    require_tee_image(image)
    form = format_for(image.config.labels.get(LIBOS, ""))
    if len(image.layers) < form.layers:
        raise InvalidImageError(f"{image.name} has {len(image.layers)} layers, which is too few")
    extraction = _Extraction(form, folder)
    for layer in image.layers[-form.layers :]:
        what = f"layer {layer.digest} of {image.name}"
        if layer_compression(layer.media_type) != "none":
            raise InvalidImageError(f"{what} is not that of an enclave: it may have been put on top later")
        with fetch_blob(image, layer, cache, task) as stream:
            extraction.take_layer(stream, what)
            for _ in chunks(stream):  # what follows the archive belongs to the digest too
                pass
    extraction.check(image.name)
    hashes = extraction.hashes
    description = parse_description((folder / layout.DESCRIPTION).read_bytes())
    if description.libos != image.config.labels[LIBOS]:
        raise IntegrityError(f"the label {LIBOS} and enclave.json contradict each other")
    del hashes[layout.DESCRIPTION]
    return TeeContents(description=description, format=form, folder=folder, hashes=hashes)


class _Extraction:
    """Takes files out of the layers; everything else that is in them must belong to the instance."""

    def __init__(self, form: InstanceFormat, folder: Path) -> None:
        self._format, self._folder = form, folder
        self._directories: dict[str, str] = {}
        self._links: set[str] = set()
        self.hashes: dict[str, str] = {}

    def take_layer(self, stream: BinaryIO, what: str) -> None:
        """Read a whole archive, which ``what`` names. Raises InvalidImageError."""
        archive = TarReader(chunks(stream), what)
        for number, member in enumerate(archive):
            if number >= MAX_ENTRIES:
                raise InvalidImageError(f"{what} has more than {MAX_ENTRIES} members")
            self._take(archive, member, what)

    def check(self, image: str) -> None:
        """Check that all is there, and no other directory. Raises InvalidImageError."""
        form = self._format
        writable = {f"{layout.ROOT}/{name}" for name in form.writable_directories}
        own = {*(f"{layout.ROOT}/{name}" for name in self.hashes), *self._links, *writable}
        above = {directory for path in own for directory in parents(path)}
        for path in sorted(self._directories.keys() - writable - above):
            raise _foreign(path, self._directories[path])
        for name in sorted(form.required | {layout.DESCRIPTION}):
            if name not in self.hashes:
                raise InvalidImageError(f"{image} has no {layout.ROOT}/{name} in the layer of its enclave")
        for path in sorted(form.links.keys() - self._links | writable - self._directories.keys()):
            raise InvalidImageError(f"{image} has no {path} in the layer of its enclave")

    def _take(self, archive: TarReader, member: Member, what: str) -> None:
        path, link = path_text(member.name), path_text(member.link)
        if member.type == tar.DIRECTORY:
            if len(self._directories) >= _MAX_DIRECTORIES:
                raise _foreign(path, what)
            self._directories[path.removesuffix("/")] = what
            return
        if member.type == tar.SYMLINK and self._format.links.get(path) == link:
            self._links.add(path)
            return
        name = path.removeprefix(f"{layout.ROOT}/")
        limit = self._limit(name) if path == f"{layout.ROOT}/{name}" else None
        if limit is None or member.type != tar.REGULAR:
            raise _foreign(path, what)
        if name in self.hashes:
            raise InvalidImageError(f"{what} has {path} twice")
        if member.size > limit:
            raise InvalidImageError(f"{what}: {path} has {member.size} bytes, more than {limit}")
        self.hashes[name] = _copy(archive.pieces(), self._folder / name)

    def _limit(self, name: str) -> int | None:
        if any(part in ("", ".", "..") for part in name.split("/")):
            return None
        return MAX_DESCRIPTION_SIZE if name == layout.DESCRIPTION else self._format.limit(name)


def _foreign(path: str, what: str) -> InvalidImageError:
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
