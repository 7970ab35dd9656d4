"""Take the instance out of a TEE image; what comes from outside is checked and bounded."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.libos.formats import format_for
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.media_types import layer_compression
from enclavize.oci.stream import chunks
from enclavize.tee import layout
from enclavize.tee.annotations import FORMAT, FORMAT_VERSION, LIBOS
from enclavize.tee.description import MAX_DESCRIPTION_SIZE, parse_description
from enclavize.tee.tar import parents

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.libos.base import InstanceFormat
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Task
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
    """Refuse an ordinary image, and a format that is not known. Raises InvalidImageError."""
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


def read_contents(image: Image, folder: Path, cache: BlobCache, task: Task | None = None) -> TeeContents:
    """Read the last layers, which hold the instance, into ``folder``.

    Their digests are verified to the last byte. Raises InvalidImageError, IntegrityError.
    """
    require_tee_image(image)
    form = format_for(image.config.labels.get(LIBOS, ""))
    if len(image.layers) < form.layers:
        raise InvalidImageError(f"{image.name} has {len(image.layers)} layers, which is too few")
    hashes: dict[str, str] = {}
    for layer in image.layers[-form.layers :]:
        what = f"layer {layer.digest} of {image.name}"
        if layer_compression(layer.media_type) != "none":
            raise InvalidImageError(f"{what} is not that of an enclave: it may have been put on top later")
        with fetch_blob(image, layer, cache, task) as stream:
            _Extraction(form, folder, what, hashes).run(stream)
            for _ in chunks(stream):  # what follows the archive belongs to the digest too
                pass
    for name in sorted(form.required | {layout.DESCRIPTION}):
        if name not in hashes:
            raise InvalidImageError(f"{image.name} has no {layout.ROOT}/{name} in the layer of its enclave")
    description = parse_description((folder / layout.DESCRIPTION).read_bytes())
    if description.libos != image.config.labels[LIBOS]:
        raise IntegrityError(f"the label {LIBOS} and enclave.json contradict each other")
    del hashes[layout.DESCRIPTION]
    return TeeContents(description=description, format=form, folder=folder, hashes=hashes)


class _Extraction:
    """Takes files out of one layer; everything else that is in it must belong to the instance."""

    def __init__(self, form: InstanceFormat, folder: Path, what: str, hashes: dict[str, str]) -> None:
        self._format, self._folder, self._what, self._hashes = form, folder, what, hashes
        self._directories: set[str] = set()
        self._explained = {f"{layout.ROOT}/{name}" for name in form.writable_directories}

    def run(self, stream: BinaryIO) -> None:
        """Read the whole archive. Raises InvalidImageError."""
        try:
            with tarfile.open(fileobj=stream, mode="r|", format=tarfile.USTAR_FORMAT) as archive:
                for member in archive:
                    self._take(archive, member)
        except tarfile.TarError as error:
            raise InvalidImageError(f"{self._what} is not a tar archive: {error}") from error
        above = {directory for path in self._explained for directory in parents(path)}
        for path in sorted(self._directories - self._explained - above):
            raise self._foreign(path)

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if member.isdir():
            if len(self._directories) >= _MAX_DIRECTORIES:
                raise self._foreign(member.name)
            self._directories.add(member.name)
            return
        if member.issym() and self._format.owns_link(member.name, member.linkname):
            self._explained.add(member.name)
            return
        name = member.name.removeprefix(f"{layout.ROOT}/")
        limit = self._limit(name) if member.name == f"{layout.ROOT}/{name}" else None
        if limit is None or not member.isreg():
            raise self._foreign(member.name)
        if name in self._hashes:
            raise InvalidImageError(f"{self._what} has {member.name} twice")
        if member.size > limit:
            raise InvalidImageError(f"{self._what}: {member.name} has {member.size} bytes, more than {limit}")
        self._explained.add(member.name)
        source = archive.extractfile(member)
        assert source is not None
        self._hashes[name] = _copy(source, self._folder / name)

    def _limit(self, name: str) -> int | None:
        if any(part in ("", ".", "..") for part in name.split("/")):
            return None
        return MAX_DESCRIPTION_SIZE if name == layout.DESCRIPTION else self._format.limit(name)

    def _foreign(self, name: str) -> InvalidImageError:
        return InvalidImageError(f"{self._what} has {name[:200]!r}, which is not of the enclave")


def _copy(source: IO[bytes], path: Path) -> str:
    """Write a new file, and return its SHA-256 in hex."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source, path.open("xb") as output:
        for data in chunks(source):
            digest.update(data)
            output.write(data)
    return digest.hexdigest()
