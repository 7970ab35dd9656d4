"""podman's storage, by its files: commands would wait for the container's lock (containers/storage).

<root>/<driver>-containers/[volatile-]containers.json   which image, which layer
<root>/<driver>-images/images.json                      names, top layer
<root>/<driver>-images/<id>/=<base64 of a key>          the configuration, under the key sha256:<id>
<root>/<driver>-layers/[volatile-]layers.json           parents, digests of what layers were made from
<root>/<driver>-layers/<id>.tar-split.gz                all of a layer's archive but the data of its files
<root>/overlay/<id>/diff, <root>/vfs/dir/<id>           these files
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, MissingBlobError
from enclavize.node.engines.found import FoundImage, moved, not_its_layers
from enclavize.node.engines.tar_split import assembled, assembled_size
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import parse_digest, sha256_digest, short
from enclavize.oci.image import Image, spelling
from enclavize.oci.image_config import parse_config
from enclavize.oci.limits import MAX_CONFIG_SIZE, MAX_LAYERS
from enclavize.oci.local_source import LocalSource
from enclavize.oci.manifest import image_manifest
from enclavize.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.select import check_machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.node.engines.found import AskedContainer
    from enclavize.oci.digest import Digest
    from enclavize.oci.stream import Readable

_MAX_FILE = 64 << 20
_LAYER_FOLDERS = {"overlay": "overlay/{}/diff", "vfs": "vfs/dir/{}"}


class PodmanEngine:
    """A storage, ``root``, of one driver."""

    has_pods = False

    def __init__(self, root: Path, driver: str) -> None:
        self._root = root
        self._driver = driver

    def find(self, container: AskedContainer) -> FoundImage:
        """Return the image whose top layer is below the container's own. Raises EnclavizeError."""
        if self._driver not in _LAYER_FOLDERS:
            raise EnclavizeError(f"podman's storage driver {self._driver} is not known")
        record = self._record("containers", container.id)
        image = self._record("images", _text(record, "image"))
        layers = {_text(layer, "id"): layer for layer in self._records("layers")}
        own = layers.get(_text(record, "layer"), {})
        name = _name(record)
        top = _text(image, "layer")
        if not top or own.get("parent") != top:
            raise not_its_layers(name or "its image")
        names = image.get("names")
        if name and not (isinstance(names, list) and name in names):
            raise moved(name)
        config_bytes = self._config(_text(image, "id"))
        config = parse_config(config_bytes, f"the configuration of {name}")
        chain = list(_chain(layers, top))
        if [layer.get("diff-digest") for layer in chain] != list(config.diff_ids):
            raise not_its_layers(name or "its image")
        source = StorageSource(
            self._root, self._driver, {layer["diff-digest"]: _text(layer, "id") for layer in chain}
        )
        return FoundImage(
            name=name,
            config_digest=sha256_digest(config_bytes),
            labels=config.labels,
            open=lambda _cache: _image(name, config_bytes, source),
        )

    def _record(self, kind: str, wanted: str) -> dict[str, Any]:
        for record in self._records(kind):
            if record.get("id") == wanted:
                return record
        raise EnclavizeError(f"podman's storage {self._root} has no {wanted[:64]!a} among its {kind}")

    def _records(self, kind: str) -> Iterator[dict[str, Any]]:
        folder = self._root / f"{self._driver}-{kind}"
        for name in (f"{kind}.json", f"volatile-{kind}.json"):
            path = folder / name
            try:
                records = json.loads(_read(path)) if path.exists() else []
            except (ValueError, RecursionError) as error:
                raise EnclavizeError(f"{path} is not what podman writes: {error}") from error
            if not isinstance(records, list) and records is not None:
                raise EnclavizeError(f"{path} is not what podman writes: no list")
            yield from (record for record in records or () if isinstance(record, dict))

    def _config(self, image_id: str) -> bytes:
        digest = parse_digest(f"sha256:{image_id}")
        key = "=" + base64.b64encode(digest.encode()).decode()
        data = _read(self._root / f"{self._driver}-images" / image_id / key, MAX_CONFIG_SIZE)
        if sha256_digest(data) != digest:
            raise EnclavizeError(f"podman's configuration of the image {short(digest)} is damaged")
        return data


def _name(record: dict[str, Any]) -> str:
    """Return what podman was told to run (libpod, ``storage.go``: the metadata of a container)."""
    try:
        metadata = json.loads(_text(record, "metadata") or "{}")
    except (ValueError, RecursionError):
        return ""
    return _text(metadata, "image-name") if isinstance(metadata, dict) else ""


def _text(record: dict[str, Any], name: str) -> str:
    """Return a text of a record, "" for what is none."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _chain(layers: dict[str, dict[str, Any]], top: str) -> Iterator[dict[str, Any]]:
    """Yield the layers below and at ``top``, the lowest first."""
    found: list[dict[str, Any]] = []
    wanted = top
    while wanted and wanted in layers and len(found) <= MAX_LAYERS:
        found.append(layers[wanted])
        wanted = _text(layers[wanted], "parent")
    yield from reversed(found)


def _image(name: str, config_bytes: bytes, source: StorageSource) -> Image:
    """Make up a manifest of layers that are not compressed: podman unpacks them, and keeps their lists."""
    config = parse_config(config_bytes, f"the configuration of {name}")
    described = Descriptor(media_type=OCI_CONFIG, digest=sha256_digest(config_bytes), size=len(config_bytes))
    layers = tuple(
        Descriptor(media_type=OCI_LAYER, digest=diff_id, size=source.size(diff_id))
        for diff_id in config.diff_ids
    )
    manifest = image_manifest(described, layers)
    return Image(
        name=name or described.digest,
        manifest=Descriptor(media_type=OCI_MANIFEST, digest=sha256_digest(manifest), size=len(manifest)),
        manifest_bytes=manifest,
        config_bytes=config_bytes,
        layers=layers,
        source=source,
        ambiguities=spelling(config.misspelled, "its configuration"),
        oddities=(*config.oddities, *check_machine(name, config, LINUX_AMD64)),
    )


class StorageSource(LocalSource):
    """Layers of a storage, as the archives that they were. ``layers`` are ids by diff id."""

    def __init__(self, root: Path, driver: str, layers: dict[str, str]) -> None:
        self._root = root
        self._driver = driver
        self._layers = layers

    def size(self, diff_id: Digest) -> int:
        """Return the bytes of a layer's archive."""
        return assembled_size(self._places(diff_id)[0])

    def close(self) -> None:
        """Nothing is open."""

    def _find(self, digest: Digest) -> tuple[Readable, str]:
        """Put the archive of a layer together again."""
        split, folder = self._places(digest)
        what = f"layer {short(digest)} in podman's storage"
        return assembled(split, folder, what), what

    def _places(self, digest: Digest) -> tuple[Path, Path]:
        layer = self._layers.get(digest)
        if layer is None:
            raise MissingBlobError(f"podman's storage has no layer {short(digest)}")
        split = self._root / f"{self._driver}-layers" / f"{layer}.tar-split.gz"
        if not split.exists():
            raise MissingBlobError(
                f"podman's storage has no list of the layer {short(digest)}", hint="pull the image again"
            )
        return split, self._root / _LAYER_FOLDERS[self._driver].format(layer)


def _read(path: Path, limit: int = _MAX_FILE) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise EnclavizeError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise EnclavizeError(f"{path} is larger than {limit} bytes")
    return data
