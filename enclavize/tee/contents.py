"""Take the instance out of a TEE image; what comes from outside is checked and bounded."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import IntegrityError, InvalidImageError
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.media_types import layer_compression
from enclavize.oci.stream import chunks
from enclavize.tee import layout
from enclavize.tee.annotations import FORMAT, FORMAT_VERSION
from enclavize.tee.description import MAX_DESCRIPTION_SIZE, parse_description

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Task
    from enclavize.tee.description import TeeDescription

MAX_ENCLAVE_SIZE = 256 << 20
"""Bytes of a signed enclave."""

_LIMITS = {
    layout.DESCRIPTION: MAX_DESCRIPTION_SIZE,
    layout.SIGNED_ENCLAVE: MAX_ENCLAVE_SIZE,
    layout.ROOTFS_IMAGE: 64 << 30,
    layout.ROOTFS_VERITY: 1 << 40,
}
"""The files of an instance layer and their largest sizes in bytes."""


@dataclass(frozen=True, kw_only=True)
class TeeContents:
    """The instance of a TEE image, in a folder on this machine. ``hashes`` are SHA-256 by path, in hex."""

    description: TeeDescription
    folder: Path
    hashes: dict[str, str]

    def path(self, name: str) -> Path:
        """Return where a file is; ``name`` is one of ``layout``."""
        return self.folder / name.rpartition("/")[2]

    def check_files(self) -> None:
        """Compare the files with what ``enclave.json`` says about them. Raises IntegrityError.

        So is the layer's index: two tar readers cannot be told different things.
        """
        for name, digest in self.hashes.items():
            described = self.description.files.get(name)
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
    """Read the last layer, which holds the instance, into ``folder``.

    Its digest is verified to the last byte. Raises InvalidImageError, IntegrityError.
    """
    require_tee_image(image)
    if not image.layers:
        raise InvalidImageError(f"{image.name} has no layers")
    layer = image.layers[-1]
    what = f"the last layer of {image.name}"
    if layer_compression(layer.media_type) != "none":
        raise InvalidImageError(f"{what} is not that of an enclave: it may have been put on top later")
    with fetch_blob(image, layer, cache, task) as stream:
        hashes = _extract(stream, folder, what)
        for _ in chunks(stream):  # what follows the archive belongs to the digest too
            pass
    for name in _LIMITS.keys() - hashes.keys():
        raise InvalidImageError(f"{what} has no {layout.ROOT}/{name}")
    description = parse_description((folder / layout.DESCRIPTION).read_bytes())
    del hashes[layout.DESCRIPTION]
    return TeeContents(description=description, folder=folder, hashes=hashes)


def _extract(stream: BinaryIO, folder: Path, what: str) -> dict[str, str]:
    hashes: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|", format=tarfile.USTAR_FORMAT) as archive:
            for member in archive:
                name = member.name.removeprefix(f"{layout.ROOT}/")
                if member.isdir() and member.name in _DIRECTORIES:
                    continue
                limit = _LIMITS.get(name) if member.name == f"{layout.ROOT}/{name}" else None
                if limit is None or not member.isreg():
                    raise InvalidImageError(f"{what} has {member.name[:200]!r}, which is not of the enclave")
                if name in hashes:
                    raise InvalidImageError(f"{what} has {member.name} twice")
                if member.size > limit:
                    raise InvalidImageError(
                        f"{what}: {member.name} has {member.size} bytes, more than {limit}"
                    )
                source = archive.extractfile(member)
                assert source is not None
                digest = hashlib.sha256()
                with source, (folder / name.rpartition("/")[2]).open("xb") as output:
                    for data in chunks(source):
                        digest.update(data)
                        output.write(data)
                hashes[name] = digest.hexdigest()
    except tarfile.TarError as error:
        raise InvalidImageError(f"{what} is not a tar archive: {error}") from error
    return hashes


_DIRECTORIES = {layout.ROOT} | {f"{layout.ROOT}/{name.rpartition('/')[0]}" for name in _LIMITS if "/" in name}
