"""Assemble the TEE image: the source's layers, at most two of ours, a new configuration and manifest."""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize import __version__
from enclavize.errors import IncompatibleImageError, InvalidImageError, UsageError
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.document import canonical_json
from enclavize.oci.image_config import parse_config
from enclavize.oci.limits import MAX_LAYERS
from enclavize.oci.manifest import Manifest, parse_manifest
from enclavize.oci.media_types import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    layer_compression,
)
from enclavize.oci.platform import LINUX_AMD64, Platform
from enclavize.oci.stream import chunks
from enclavize.tee import layout
from enclavize.tee.annotations import FORMAT, describe
from enclavize.tee.description import DescribedFile, TeeDescription
from enclavize.tee.engine_names import OWN_PREFIX, acted_on
from enclavize.tee.instance import NO_HEALTH_CHECK
from enclavize.tee.start import CONFIG_MEMBERS, HEALTH_SCHEDULE, is_count
from enclavize.tee.tar import FILE_MODE, WRITABLE_MODE, TarDirectory, TarFile, TarLink, write_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image
    from enclavize.rootfs.tree import Rootfs
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.format import InstanceFormat
    from enclavize.tee.instance import Instance, InstanceFile, Start
    from enclavize.tee.tar import TarMember

_OCI_LAYERS = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
_CREATED_BY = "enclavize build"
_ADDED_LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class TeeImage:
    """A TEE image. The layers that the source does not have, and both documents, are in the blob cache."""

    manifest: Descriptor
    manifest_bytes: bytes
    config_bytes: bytes
    description: TeeDescription

    @property
    def config(self) -> Descriptor:
        """The descriptor of the configuration."""
        return self._parsed.config

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """All layers, base first."""
        return self._parsed.layers

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers before compression."""
        return parse_config(self.config_bytes, "the configuration of the TEE image").diff_ids

    @property
    def _parsed(self) -> Manifest:
        manifest = parse_manifest(self.manifest_bytes, "the manifest of the TEE image")
        assert isinstance(manifest, Manifest)
        return manifest


def check_convertible(image: Image) -> None:
    """Refuse an image that is a TEE image or has too many layers to become one; no layer is read."""
    if FORMAT in image.config.labels:
        raise UsageError(
            f"{image.name} is a TEE image already", hint="convert the image that it was made from"
        )
    if len(image.layers) + _ADDED_LAYERS > MAX_LAYERS:
        raise IncompatibleImageError(
            f"{image.name} has {len(image.layers)} layers: with {_ADDED_LAYERS} more it has more than the "
            f"{MAX_LAYERS} that container engines can mount",
            hint="rebuild the image with fewer layers",
        )


def check_free(rootfs: Rootfs, name: str) -> None:
    """Refuse an image that has something where our files go. Raises UsageError."""
    if rootfs.get(layout.ROOT) is not None:
        raise UsageError(
            f"{name} has /{layout.ROOT}, where the files of the enclave go",
            hint="it may be a TEE image already: convert the image that it was made from",
        )


def assemble(
    image: Image,
    instance: Instance,
    form: InstanceFormat,
    sigstruct: Sigstruct,
    signature_file: InstanceFile,
    *,
    debug: bool,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    created: str,
    volumes: Iterable[str],
    cache: BlobCache,
    shared: Descriptor | None = None,
) -> TeeImage:
    """Write our layers, the configuration and the manifest into the cache.

    ``created`` is RFC 3339 text, or "" for the source's; ``volumes`` are those that engines are to make. Ours
    win over ``labels`` and ``annotations``. ``shared`` is the layer of the instance's shared files, if it was
    written before.
    """
    description = TeeDescription(
        generator=f"enclavize/{__version__}",
        libos=instance.libos,
        libos_version=instance.libos_version,
        mrenclave=sigstruct.mrenclave.hex(),
        mrsigner=sigstruct.mrsigner.hex() if sigstruct.is_signed else None,
        isv_prod_id=sigstruct.measurement.isv_prod_id,
        isv_svn=sigstruct.measurement.isv_svn,
        debug=debug,
        simulation=instance.simulation,
        left_out=instance.left_out,
        argv=instance.argv,
        files={
            file.path: describe_file(file)
            for file in (*instance.shared_files, *instance.files, signature_file)
            if form.describes(file.path)
        },
        policy=instance.policy,
    )
    text = description.to_bytes()
    own = [
        *_files((*instance.files, signature_file)),
        TarFile(
            path=_below_root(layout.DESCRIPTION), mode=0o444, size=len(text), open=lambda: io.BytesIO(text)
        ),
        *(TarDirectory(path=_below_root(path), mode=WRITABLE_MODE) for path in instance.writable_directories),
        *(TarLink(path=path, target=target) for path, target in instance.links.items()),
        *(TarFile(path=path, mode=FILE_MODE, size=0, open=io.BytesIO) for path in instance.mount_files),
        *(TarDirectory(path=path, mode=WRITABLE_MODE) for path in instance.mount_directories),
    ]
    shared = shared or write_files(instance.shared_files, cache)
    added = [*((shared,) if shared else ()), _write(own, cache)]
    kept = image.layers if instance.keeps_layers else ()
    facts = describe(description)
    diff_ids = [layer.digest for layer in added]
    config = _config(image, instance, diff_ids, labels={**labels, **facts}, created=created, volumes=volumes)
    return write_documents(
        config, (*kept, *added), {**annotations, **facts}, description, name=image.name, cache=cache
    )


def write_documents(
    config: Mapping[str, Any],
    layers: Iterable[Descriptor],
    annotations: Mapping[str, str],
    description: TeeDescription,
    *,
    name: str,
    cache: BlobCache,
) -> TeeImage:
    """Write the configuration and a manifest of ``layers`` into the cache; ``name`` is the source's."""
    config_bytes = _config_bytes(config, name)
    manifest_bytes = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(config_bytes, OCI_CONFIG).to_json(),
            "layers": [_as_oci(layer).to_json() for layer in layers],
            "annotations": dict(annotations),
        }
    )
    for document in (config_bytes, manifest_bytes):
        with cache.writer(sha256_digest(document)) as output:
            output.write(document)
    return TeeImage(
        manifest=_descriptor(manifest_bytes, OCI_MANIFEST),
        manifest_bytes=manifest_bytes,
        config_bytes=config_bytes,
        description=description,
    )


def write_files(files: Iterable[InstanceFile], cache: BlobCache) -> Descriptor | None:
    """Write a layer of these files into the cache; none of no files."""
    members = _files(files)
    return _write(members, cache) if members else None


def _below_root(path: str) -> str:
    return f"{layout.ROOT}/{path}"


def _files(files: Iterable[InstanceFile]) -> list[TarMember]:
    return [
        TarFile(path=_below_root(file.path), mode=file.mode, size=file.size, open=file.open) for file in files
    ]


def describe_file(file: InstanceFile) -> DescribedFile:
    """Return what ``enclave.json`` says about a file."""
    with file.open() as stream:
        digest = hashlib.sha256()
        for data in chunks(stream):
            digest.update(data)
    return DescribedFile(size=file.size, sha256=digest.hexdigest())


def _write(members: Iterable[TarMember], cache: BlobCache) -> Descriptor:
    with cache.writer() as output:
        write_layer(members, output)
    return Descriptor(media_type=OCI_LAYER, digest=output.digest, size=output.size)


def _as_oci(layer: Descriptor) -> Descriptor:
    """Give a layer its OCI media type: an OCI manifest with docker's would be neither fish nor fowl."""
    return Descriptor(
        media_type=_OCI_LAYERS[layer_compression(layer.media_type)],
        digest=layer.digest,
        size=layer.size,
        annotations=_without_acted_on(layer.annotations),
    )


def _without_acted_on(names: Mapping[str, str]) -> dict[str, str]:
    dropped = {name for name in names if name.startswith(OWN_PREFIX)} | set(acted_on(names))
    return {name: value for name, value in names.items() if name not in dropped}


def _descriptor(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=sha256_digest(data), size=len(data))


def copied_config(image: Image) -> dict[str, Any]:
    """Return a copy of the whole configuration, to be changed. Raises InvalidImageError."""
    with _strange_members(image.name):
        return deepcopy(dict(image.config.raw))


def _config_bytes(config: Mapping[str, Any], name: str) -> bytes:
    with _strange_members(name):
        return canonical_json(config)


@contextmanager
def _strange_members(name: str) -> Iterator[None]:
    """Members that nobody but us has to read and write may be anything."""
    try:
        yield
    except (UnicodeEncodeError, RecursionError) as error:
        raise InvalidImageError(
            f"the configuration of {name} has members that are no text, or too deep"
        ) from error


def _healthcheck(source: Mapping[str, Any] | None, start: Start) -> dict[str, Any]:
    """Return when to look, as the source says, and what to run."""
    if not source:
        return {}
    has_test = (source.get("Test") or ["NONE"])[0] != "NONE"
    schedule = {name: value for name, value in source.items() if name in HEALTH_SCHEDULE and is_count(value)}
    return {**schedule, "Test": list(start.health if has_test else NO_HEALTH_CHECK)}


def _config(
    image: Image,
    instance: Instance,
    diff_ids: list[Digest],
    *,
    labels: Mapping[str, str],
    created: str,
    volumes: Iterable[str],
) -> dict[str, Any]:
    """Return the source's configuration, changed as docs/tee-image.md, section 2, says."""
    source, start = image.config, instance.start
    document = {name: value for name, value in copied_config(image).items() if name in CONFIG_MEMBERS}
    if created:
        document["created"] = created
    execution: dict[str, Any] = {
        "Entrypoint": list(start.entrypoint),
        "Cmd": None if start.command is None else list(start.command),
        "Env": None if start.environment is None else list(start.environment),
        "WorkingDir": start.working_directory,
        "Labels": {**_without_acted_on(source.labels), **labels},
    }
    optional = {
        "User": source.user if start.user is None else start.user,
        "StopSignal": source.stop_signal if start.stop_signal is None else start.stop_signal,
        "ExposedPorts": {port: {} for port in source.exposed_ports},
        "Volumes": {path: {} for path in volumes},
        "Healthcheck": _healthcheck(source.healthcheck, start),
    }
    execution |= {name: value for name, value in optional.items() if value}
    document["config"] = execution
    if Platform(os=source.os, architecture=source.architecture).machine != LINUX_AMD64.machine:
        document |= {"os": LINUX_AMD64.os, "architecture": LINUX_AMD64.architecture}
        document.pop("variant", None)
    kept = source.diff_ids if instance.keeps_layers else ()
    document["rootfs"] = {"type": "layers", "diff_ids": [*kept, *diff_ids]}
    if source.history or not instance.keeps_layers:
        # Engines match history and layers one to one; times would differ between builds.
        entry = {"created_by": _CREATED_BY, "comment": "enclave"}
        if stamp := document.get("created"):
            entry["created"] = stamp
        history = document.get("history") or [] if instance.keeps_layers else []
        document["history"] = [*history, *(entry for _ in diff_ids)]
    return document
