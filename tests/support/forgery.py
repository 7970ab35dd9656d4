"""A TEE image in the hands of somebody who lacks only the key: whatever is changed, all digests fit."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from enclavize.oci import media_types
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.tee.tar import TarDirectory, TarFile, TarLink, write_layer
from support.images import Layer, plain_tar, plain_tar_members

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from enclavize.oci.cache import BlobWriter
    from support.images import Member

DESCRIPTION = ".enclave/enclave.json"
TAG = "1"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """An image; every ``with_`` makes another one. ``index`` takes the place of index.json."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    index: bytes | None = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    """Content by digest that is not what the digest says."""

    @staticmethod
    def load(layout: Path) -> Forgery:
        """Read the only image of a layout."""

        def blob(descriptor: Mapping[str, Any]) -> bytes:
            name = str(descriptor["digest"]).removeprefix("sha256:")
            return (layout / "blobs" / "sha256" / name).read_bytes()

        manifest = blob(json.loads((layout / "index.json").read_bytes())["manifests"][0])
        parts = json.loads(manifest)
        config = blob(parts["config"])
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        layers = tuple(
            Layer(blob=blob(layer), media_type=layer["mediaType"], diff_id=diff_id)
            for layer, diff_id in zip(parts["layers"], diff_ids, strict=True)
        )
        return Forgery(manifest=manifest, config=config, layers=layers)

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return sha256_digest(self.manifest)

    @property
    def fingerprint(self) -> bytes:
        """What tells it from other forgeries."""
        parts = (self.manifest, self.config, self.index or b"", *self.blobs.values())
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()

    def with_manifest(self, data: bytes) -> Forgery:
        """Return the image with another manifest."""
        return replace(self, manifest=data)

    def with_config(self, data: bytes) -> Forgery:
        """Return the image with another configuration."""
        manifest = json.loads(self.manifest)
        manifest["config"] |= {"digest": sha256_digest(data), "size": len(data)}
        return replace(self, config=data, manifest=json.dumps(manifest).encode())

    def with_layers(self, layers: Sequence[Layer]) -> Forgery:
        """Return the image with other layers."""
        manifest, config = json.loads(self.manifest), json.loads(self.config)
        manifest["layers"] = [layer.descriptor.to_json() for layer in layers]
        config["rootfs"]["diff_ids"] = [layer.diff_id for layer in layers]
        forged = replace(self, layers=tuple(layers), manifest=json.dumps(manifest).encode())
        return forged.with_config(json.dumps(config).encode())

    def with_archive(self, number: int, tar: bytes) -> Forgery:
        """Return the image with other content of a layer, which is not compressed."""
        layer = Layer(blob=tar, media_type=media_types.OCI_LAYER, diff_id=sha256_digest(tar))
        return self.with_layers([*self.layers[:number], layer, *self.layers[number + 1 :]])

    def members(self, number: int) -> list[Member]:
        """Return the members of a layer."""
        return plain_tar_members(self.content(number), media_types.OCI_LAYER)

    def with_file(self, path: str, change: Callable[[bytes], bytes], *, redescribed: bool = True) -> Forgery:
        """Return the image with another content of a file of the enclave's, in layers as a build writes them.

        ``redescribed``: enclave.json tells of the new content.
        """
        forged, data = self, b""
        for number in range(len(self.layers)):
            members = self.members(number)
            if any(member.path == path for member in members):
                data = change(next(member.data for member in members if member.path == path))
                forged = forged.with_archive(
                    number,
                    written_as_built(
                        [replace(member, data=data) if member.path == path else member for member in members]
                    ),
                )
        if not redescribed or path == DESCRIPTION:
            return forged

        def describe(text: bytes) -> bytes:
            document = json.loads(text)
            file = document["files"].get(path.removeprefix(".enclave/"))
            if file is not None:
                file |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            return as_built(document)

        return forged.with_file(DESCRIPTION, describe)

    def write(self, layout: Path) -> list[Path]:
        """Write it into a layout that may have its blobs already; return the files that are new."""
        folder = layout / "blobs" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        written = []
        contents = {sha256_digest(data): data for data in (self.manifest, self.config)}
        contents |= {layer.descriptor.digest: layer.blob for layer in self.layers}
        for digest, data in (contents | dict(self.blobs)).items():
            path = folder / digest.removeprefix("sha256:")
            if digest in self.blobs or not path.exists():
                path.write_bytes(data)
                written.append(path)
        (layout / "index.json").write_bytes(self.plain_index() if self.index is None else self.index)
        return written

    def plain_index(self) -> bytes:
        """Return an ordinary index.json."""
        descriptor = Descriptor(
            media_type=media_types.OCI_MANIFEST,
            digest=sha256_digest(self.manifest),
            size=len(self.manifest),
        )
        entry = {**descriptor.to_json(), "annotations": {_REF_NAME: TAG}}
        return json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()

    def content(self, number: int) -> bytes:
        """Return a layer without its compression, whatever its media type says."""
        blob = self.layers[number].blob
        names = {b"\x1f\x8b": media_types.OCI_LAYER_GZIP, b"\x28\xb5": media_types.OCI_LAYER_ZSTD}
        return plain_tar(replace(self.layers[number], media_type=names.get(blob[:2], media_types.OCI_LAYER)))


class _Output(io.BytesIO):
    @property
    def size(self) -> int:
        return self.tell()


def written_as_built(members: Sequence[Member]) -> bytes:
    """Return the archive that a build would write of these members: digests alone tell it from a real one."""
    output = _Output()
    write_layer(map(_as_built, members), cast("BlobWriter", output))  # which has what is needed here
    return output.getvalue()


def _as_built(member: Member) -> TarFile | TarDirectory | TarLink:
    path = member.path.rstrip("/")
    match member.type:
        case b"5":
            return TarDirectory(path=path, mode=member.mode)
        case b"2":
            return TarLink(path=path, target=member.link)
        case _:
            return TarFile(
                path=path, mode=member.mode, size=len(member.data), open=lambda: io.BytesIO(member.data)
            )


def as_built(document: Mapping[str, Any]) -> bytes:
    """Return enclave.json as a build writes it."""
    return json.dumps(document, indent=2).encode() + b"\n"
