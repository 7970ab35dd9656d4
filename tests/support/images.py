"""Builds images in plain Python, from lists of tar members: layouts, archives and odd forms of all kinds."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zstandard

from enclavize.oci import media_types
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.target import ImageToWrite, LayerToWrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from enclavize.oci.digest import Digest
    from enclavize.oci.media_types import Compression
    from enclavize.oci.reference import ImageReference

MTIME = 1_700_000_000


@dataclass(frozen=True, kw_only=True)
class Member:
    """One tar member. ``path`` is written as it is, however hostile."""

    path: str
    type: bytes = tarfile.REGTYPE
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = MTIME
    link: str = ""
    device: tuple[int, int] = (0, 0)
    pax: Mapping[str, str] = field(default_factory=dict)


def file(path: str, data: bytes | str = b"", mode: int = 0o644, **more: Any) -> Member:
    """Return a regular file."""
    content = data.encode() if isinstance(data, str) else data
    return Member(path=path, data=content, mode=mode, **more)


def directory(path: str, mode: int = 0o755, **more: Any) -> Member:
    """Return a directory."""
    return Member(path=path, type=tarfile.DIRTYPE, mode=mode, **more)


def symlink(path: str, target: str, **more: Any) -> Member:
    """Return a symbolic link."""
    return Member(path=path, type=tarfile.SYMTYPE, link=target, mode=0o777, **more)


def hard_link(path: str, target: str, **more: Any) -> Member:
    """Return a hard link to an earlier member."""
    return Member(path=path, type=tarfile.LNKTYPE, link=target, **more)


def whiteout(path: str) -> Member:
    """Return the member that hides ``path`` of lower layers (image-spec, layer.md)."""
    folder, _, name = path.rpartition("/")
    return Member(path=f"{folder}/.wh.{name}" if folder else f".wh.{name}")


def opaque(folder: str) -> Member:
    """Return the member that hides all that lower layers have in ``folder``."""
    return Member(path=f"{folder}/.wh..wh..opq")


def tar_of(members: Iterable[Member], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tar_format) as archive:
        for member in members:
            info = tarfile.TarInfo(member.path)
            info.type, info.mode, info.linkname = member.type, member.mode, member.link
            info.uid, info.gid, info.mtime = member.uid, member.gid, member.mtime
            info.devmajor, info.devminor = member.device
            info.size = len(member.data)
            info.pax_headers = dict(member.pax)
            archive.addfile(info, io.BytesIO(member.data))
    return buffer.getvalue()


def compress(data: bytes, compression: Compression) -> bytes:
    """Compress reproducibly."""
    match compression:
        case "gzip":
            return gzip.compress(data, compresslevel=1, mtime=0)
        case "zstd":
            return zstandard.ZstdCompressor(level=1).compress(data)
        case "bzip2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "none":
            return data


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer: the blob, its media type and the digest of the plain tar."""

    blob: bytes
    media_type: str
    diff_id: Digest

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the blob."""
        return Descriptor(media_type=self.media_type, digest=sha256_digest(self.blob), size=len(self.blob))


OCI_LAYERS = {
    "none": media_types.OCI_LAYER,
    "gzip": media_types.OCI_LAYER_GZIP,
    "zstd": media_types.OCI_LAYER_ZSTD,
}
DOCKER_LAYERS = {
    "none": media_types.DOCKER_LAYER,
    "gzip": media_types.DOCKER_LAYER_GZIP,
    "zstd": media_types.DOCKER_LAYER_ZSTD,
}


def build_layer(
    content: Iterable[Member] | bytes, compression: Compression = "gzip", *, docker: bool = False
) -> Layer:
    """Make a layer of tar members, or of bytes that pretend to be a tar."""
    tar = content if isinstance(content, bytes) else tar_of(content)
    types = DOCKER_LAYERS if docker else OCI_LAYERS
    return Layer(blob=compress(tar, compression), media_type=types[compression], diff_id=sha256_digest(tar))


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image in memory."""

    manifest_bytes: bytes
    media_type: str
    config_bytes: bytes
    layers: tuple[Layer, ...]
    platform: tuple[str, str]

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the manifest."""
        return Descriptor(
            media_type=self.media_type,
            digest=sha256_digest(self.manifest_bytes),
            size=len(self.manifest_bytes),
        )

    @property
    def blobs(self) -> dict[Digest, bytes]:
        """All blobs, with manifest and configuration."""
        layers = {layer.descriptor.digest: layer.blob for layer in self.layers}
        documents = (self.config_bytes, self.manifest_bytes)
        return {**layers, **{sha256_digest(data): data for data in documents}}


@dataclass(frozen=True, kw_only=True)
class BuiltIndex:
    """An image index in memory, with all that hangs on it."""

    index_bytes: bytes
    media_type: str
    blobs: dict[Digest, bytes]
    attestations: tuple[BuiltImage, ...]

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the index."""
        return Descriptor(
            media_type=self.media_type, digest=sha256_digest(self.index_bytes), size=len(self.index_bytes)
        )


def build_image(
    layers: Sequence[Layer | Sequence[Member]],
    *,
    compression: Compression = "gzip",
    docker: bool = False,
    with_media_type: bool = True,
    platform: tuple[str, str] = ("linux", "amd64"),
    config: Mapping[str, Any] | None = None,
    change_config: Mapping[str, Any] | None = None,
    change_manifest: Mapping[str, Any] | None = None,
) -> BuiltImage:
    """Make an image. ``config`` is the execution part; the ``change_`` arguments replace whole members."""
    built = tuple(
        layer if isinstance(layer, Layer) else build_layer(layer, compression, docker=docker)
        for layer in layers
    )
    os_name, architecture = platform
    config_bytes = to_json(
        {
            "architecture": architecture,
            "os": os_name,
            "config": dict(config or {"Cmd": ["/bin/true"], "Env": ["PATH=/bin"]}),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in built]},
            "history": [{"created_by": f"layer {number}"} for number in range(len(built))],
            **(change_config or {}),
        }
    )
    media_type = media_types.DOCKER_MANIFEST if docker else media_types.OCI_MANIFEST
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {
            "mediaType": media_types.DOCKER_CONFIG if docker else media_types.OCI_CONFIG,
            "digest": sha256_digest(config_bytes),
            "size": len(config_bytes),
        },
        "layers": [layer.descriptor.to_json() for layer in built],
        **(change_manifest or {}),
    }
    if not with_media_type:
        del manifest["mediaType"]
    return BuiltImage(
        manifest_bytes=to_json(manifest),
        media_type=media_type,
        config_bytes=config_bytes,
        layers=built,
        platform=platform,
    )


def build_index(
    entries: Sequence[BuiltImage | BuiltIndex],
    *,
    docker: bool = False,
    attestations: bool = False,
    with_media_type: bool = True,
) -> BuiltIndex:
    """Make an index; ``attestations`` adds an unknown/unknown entry before each image, as BuildKit does."""
    media_type = media_types.DOCKER_INDEX if docker else media_types.OCI_INDEX
    blobs: dict[Digest, bytes] = {}
    manifests: list[dict[str, Any]] = []
    made: list[BuiltImage] = []
    for entry in entries:
        blobs |= entry.blobs
        if isinstance(entry, BuiltImage):
            os_name, architecture = entry.platform
            if attestations:
                attestation = build_image([[]], platform=("unknown", "unknown"))
                blobs |= attestation.blobs
                made.append(attestation)
                manifests.append(_with_platform(attestation, "unknown", "unknown"))
            manifests.append(_with_platform(entry, os_name, architecture))
        else:
            manifests.append(entry.descriptor.to_json())
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    if not with_media_type:
        del document["mediaType"]
    data = to_json(document)
    blobs[sha256_digest(data)] = data
    return BuiltIndex(index_bytes=data, media_type=media_type, blobs=blobs, attestations=tuple(made))


def _with_platform(image: BuiltImage, os_name: str, architecture: str) -> dict[str, Any]:
    platform = {"os": os_name, "architecture": architecture}
    return {**image.descriptor.to_json(), "platform": platform}


def write_layout(path: Path, images: Mapping[str, BuiltImage | BuiltIndex]) -> Path:
    """Write a layout folder with images by tag; the tag "" gives an entry without one."""
    folder = path / "blobs" / "sha256"
    folder.mkdir(parents=True)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for tag, image in images.items():
        for digest, data in image.blobs.items():
            (folder / digest.removeprefix("sha256:")).write_bytes(data)
        entry = image.descriptor.to_json()
        if tag:
            entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        entries.append(entry)
    (path / "index.json").write_bytes(to_json({"schemaVersion": 2, "manifests": entries}))
    return path


def write_oci_archive(path: Path, images: Mapping[str, BuiltImage | BuiltIndex], scratch: Path) -> Path:
    """Write a tar file of a layout, which is first made in ``scratch``."""
    write_layout(scratch, images)
    with tarfile.open(path, "w") as archive:
        for found in sorted(scratch.rglob("*")):
            archive.add(found, found.relative_to(scratch), recursive=False)
    return path


def write_docker_archive(path: Path, images: Mapping[str, BuiltImage]) -> Path:
    """Write what ``docker save`` of old writes: ``<id>/layer.tar``, and links where a layer comes again."""
    members: list[Member] = []
    entries = []
    seen: dict[str, str] = {}
    for number, (name, image) in enumerate(images.items()):
        config_name = hashlib.sha256(image.config_bytes).hexdigest() + ".json"
        members.append(file(config_name, image.config_bytes))
        layers = []
        for position, layer in enumerate(image.layers):
            folder = hashlib.sha256(f"{number}/{position}".encode()).hexdigest()
            layers.append(f"{folder}/layer.tar")
            members.append(directory(f"{folder}/"))
            if first := seen.get(layer.diff_id):
                members.append(symlink(f"{folder}/layer.tar", f"../{first}"))
            else:
                seen[layer.diff_id] = f"{folder}/layer.tar"
                members.append(file(f"{folder}/layer.tar", plain_tar(layer)))
        entries.append({"Config": config_name, "RepoTags": [name] if name else None, "Layers": layers})
    members.append(file("manifest.json", to_json(entries)))
    path.write_bytes(tar_of(members))
    return path


def plain_tar(layer: Layer) -> bytes:
    """Return a layer without its compression."""
    if layer.media_type.endswith("gzip"):
        return gzip.decompress(layer.blob)
    if layer.media_type.endswith("zstd"):
        return zstandard.ZstdDecompressor().decompress(layer.blob, max_output_size=1 << 30)
    return layer.blob


def plain_tar_members(blob: bytes, media_type: str) -> list[Member]:
    """Return the members of a layer."""
    layer = Layer(blob=blob, media_type=media_type, diff_id=sha256_digest(blob))
    found = []
    with tarfile.open(fileobj=io.BytesIO(plain_tar(layer))) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            found.append(
                Member(
                    path=member.name, type=member.type, data=content.read() if content else b"",
                    mode=member.mode, uid=member.uid, gid=member.gid, mtime=int(member.mtime),
                    link=member.linkname,
                )
            )  # fmt: skip
    return found


def to_write(image: BuiltImage, *references: str, origin: ImageReference | None = None) -> ImageToWrite:
    """Return an image as the deliver stage wants it."""
    return ImageToWrite(
        manifest_bytes=image.manifest_bytes,
        manifest_media_type=image.media_type,
        config_bytes=image.config_bytes,
        layers=tuple(_layer_to_write(layer, origin) for layer in image.layers),
        references=references,
    )


def _layer_to_write(layer: Layer, origin: ImageReference | None) -> LayerToWrite:
    return LayerToWrite(
        descriptor=layer.descriptor,
        diff_id=layer.diff_id,
        open=lambda: io.BytesIO(layer.blob),
        origin=origin,
    )


def to_json(value: object) -> bytes:
    """Return JSON that is not in the form that enclavize itself writes: exact bytes must survive."""
    return json.dumps(value, indent=3).encode()
