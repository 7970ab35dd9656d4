"""Results of earlier builds, found by what went into them.

    <cache>/results/<key>.json      the manifest's descriptor, the description, and SHA-256 of both

The key is a hash over everything that the result depends on; all blobs are in the blob cache. A file is
written whole and renamed, so builds may run at the same time and be killed at any moment. The hash is there
for damaged disks: a build tells of the measurement that is written here. Beyond
``MAX_RESULTS`` the least recently used ones are removed.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError
from enclavize.oci.cache import touch
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.document import canonical_json, parse_document
from enclavize.oci.limits import MAX_CONFIG_SIZE, MAX_MANIFEST_SIZE
from enclavize.oci.pruning import RESULTS
from enclavize.oci.storage import atomic_file
from enclavize.tee.description import parse_description
from enclavize.tee.image import TeeImage
from enclavize.tee.layout import MAX_DESCRIPTION_SIZE

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache

MAX_RESULTS = 1000

_FORMAT = 2


def result_key(ingredients: Any) -> str:
    """Return the name of a result: the hash of its ingredients, a JSON value."""
    return hashlib.sha256(canonical_json([_FORMAT, ingredients])).hexdigest()


def _digest(manifest: Any, description: Any) -> str:
    return hashlib.sha256(canonical_json([manifest, description])).hexdigest()


class Results:
    """The results beside one blob cache."""

    def __init__(self, cache: BlobCache) -> None:
        self._cache = cache
        self._folder = cache.folder(RESULTS)

    def find(self, key: str, source_layers: frozenset[str]) -> TeeImage | None:
        """Return an earlier result if all its blobs are still here; ``source_layers`` are elsewhere."""
        path = self._path(key)
        with suppress(OSError, EnclavizeError):
            if path.stat().st_size > 2 * MAX_DESCRIPTION_SIZE:
                return None
            document = parse_document(path.read_bytes(), str(path))
            description = document.document("description")
            manifest = document.document("manifest")
            if description is None or manifest is None:
                return None
            if document.members.get("sha256") != _digest(manifest.members, description.members):
                return None
            tee = self._load(
                Descriptor.from_json(manifest), parse_description(canonical_json(description.members))
            )
            touch(path)
            if all(layer.digest in source_layers or self._cache.has(layer.digest) for layer in tee.layers):
                return tee
        return None

    def keep(self, key: str, tee: TeeImage) -> None:
        """Remember a result."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        manifest, description = tee.manifest.to_json(), tee.description.to_json()
        document = {
            "manifest": manifest,
            "description": description,
            "sha256": _digest(manifest, description),
        }
        with atomic_file(path, 0o600) as output:
            output.write(canonical_json(document))
        self._trim()

    def _load(self, manifest: Descriptor, description: Any) -> TeeImage:
        manifest_bytes = self._read(manifest, MAX_MANIFEST_SIZE)
        tee = TeeImage(
            manifest=manifest, manifest_bytes=manifest_bytes, config_bytes=b"", description=description
        )
        return TeeImage(
            manifest=manifest,
            manifest_bytes=manifest_bytes,
            config_bytes=self._read(tee.config, MAX_CONFIG_SIZE),
            description=description,
        )

    def _read(self, descriptor: Descriptor, limit: int) -> bytes:
        with self._cache.open(descriptor) as stream:
            return stream.read(limit)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _trim(self) -> None:
        files = list(self._folder.glob("*.json"))
        if len(files) <= MAX_RESULTS:
            return
        with suppress(OSError):
            for path in sorted(files, key=lambda path: path.stat().st_mtime)[: len(files) - MAX_RESULTS]:
                path.unlink(missing_ok=True)
