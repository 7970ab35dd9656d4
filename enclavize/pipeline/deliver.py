"""The last stage: the TEE image goes to each output."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import UsageError
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.reference import parse_reference
from enclavize.oci.target import ImageToWrite, LayerToWrite
from enclavize.pipeline.ahead import Ahead
from enclavize.pipeline.options import Output, OutputKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.image import Image
    from enclavize.oci.image_signature import ImageSignature
    from enclavize.oci.target import Target
    from enclavize.pipeline.image_signing import SignedImage
    from enclavize.pipeline.options import BuildOptions
    from enclavize.progress import Reporter
    from enclavize.tee.image import TeeImage


def check_outputs(options: BuildOptions) -> None:
    """Refuse outputs that could only fail in the end. Raises UsageError."""
    standard = [output for output in options.outputs if output.to_standard_output]
    if len(standard) > 1:
        raise UsageError("only one output can go to standard output")
    if standard and sys.stdout.isatty():
        raise UsageError(
            f"{standard[0].kind} is not for a terminal", hint="redirect standard output, or add dest=FILE"
        )
    if options.image_id_file and not all(output.kind.is_image for output in options.outputs):
        raise UsageError("--iidfile: outputs of type local and tar are no images, and have no ID")
    for output in options.outputs:
        if output.destination is not None:
            _check_destination(output.kind, output.destination)
    paths = [output.destination for output in options.outputs if output.kind.writes_files]
    for path in (*paths, options.metadata_file, options.image_id_file):
        if path is None:
            continue
        parent = path.parent
        if not parent.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {parent}")
        if not os.access(parent, os.W_OK):
            raise UsageError(f"cannot write {path}: the folder {parent} is not writable")


def _check_destination(kind: OutputKind, path: Path) -> None:
    """Refuse to write a file over a folder, or a folder over a file. Raises UsageError."""
    is_folder = kind in (OutputKind.LOCAL, OutputKind.OCI_LAYOUT)
    if path.is_dir() and not is_folder:
        raise UsageError(f"{path} is a folder", hint="name a file")
    if path.exists() and not path.is_dir() and is_folder:
        raise UsageError(f"{path} is not a folder", hint="name a folder")
    if kind is OutputKind.LOCAL and path.is_dir() and any(path.iterdir()):
        raise UsageError(f"{path} exists and is not empty", hint="name a folder that is not there yet")


def deliver(
    tee: TeeImage,
    image: Image,
    options: BuildOptions,
    cache: BlobCache,
    reporter: Reporter,
    *,
    ahead: Ahead | None = None,
    signed: SignedImage | None = None,
) -> tuple[str, ...]:
    """Write all outputs, one after the other; return a line about each, and about each image signature.

    ``ahead`` may have begun with the source's layers.
    """
    signatures = signed.signatures if signed else {}
    ahead = ahead or Ahead(image, options, cache, reporter)
    lines: list[str] = []
    for output in options.outputs:
        match output:
            case Output(kind=OutputKind.LOCAL, destination=destination) if destination:
                from enclavize.pipeline.root_output import as_image, write_folder

                write_folder(as_image(tee, image, cache), destination, cache, reporter)
            case Output(kind=OutputKind.TAR):
                from enclavize.pipeline.root_output import as_image, write_tar

                write_tar(as_image(tee, image, cache), output.destination, cache, reporter)
            case _:
                _target(output, ahead).deliver(
                    _image_to_write(tee, image, output, cache, signatures), reporter
                )
        lines += _lines(output, tee)
    return (*lines, *(signed.lines if signed else ()))


def _target(output: Output, ahead: Ahead) -> Target:
    match output.kind:
        case OutputKind.REGISTRY:
            return ahead.target(output)
        case OutputKind.DAEMON:
            from enclavize.oci.daemon import DaemonTarget

            return DaemonTarget()
        case OutputKind.DOCKER_ARCHIVE | OutputKind.OCI_ARCHIVE:
            from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget

            docker = output.kind is OutputKind.DOCKER_ARCHIVE
            return ArchiveTarget(output.destination, ArchiveStyle.DOCKER if docker else ArchiveStyle.OCI)
        case OutputKind.OCI_LAYOUT:
            from enclavize.oci.layout import LayoutTarget

            assert output.destination is not None
            return LayoutTarget(output.destination)
        case OutputKind.LOCAL | OutputKind.TAR | OutputKind.IMAGE:
            raise AssertionError(f"{output.kind} is no target for images")


def _image_to_write(
    tee: TeeImage, image: Image, output: Output, cache: BlobCache, signatures: Mapping[str, ImageSignature]
) -> ImageToWrite:
    names = {parse_reference(name).name for name in output.names}
    ours = {layer.digest for layer in tee.layers} - {layer.digest for layer in image.layers}
    return ImageToWrite(
        manifest_bytes=tee.manifest_bytes,
        manifest_media_type=tee.manifest.media_type,
        config_bytes=tee.config_bytes,
        layers=tuple(
            LayerToWrite(
                descriptor=layer,
                diff_id=diff_id,
                open=partial(cache.open, layer)
                if layer.digest in ours
                else _source_opener(image, layer, cache),
                origin=None if layer.digest in ours else image.source.origin,
            )
            for layer, diff_id in zip(tee.layers, tee.diff_ids, strict=True)
        ),
        references=output.names,
        signatures={name: signature for name, signature in signatures.items() if name in names},
    )


def _source_opener(image: Image, layer: Descriptor, cache: BlobCache) -> partial[BinaryIO]:
    return partial(fetch_blob, image, layer, cache)


def _lines(output: Output, tee: TeeImage) -> list[str]:
    match output.kind:
        case OutputKind.REGISTRY:
            return [f"pushed {parse_reference(name)}@{tee.manifest.digest}" for name in output.names]
        case OutputKind.DAEMON:
            return [f"loaded {name} into docker" for name in output.names]
        case _:
            return [f"wrote {output.destination or 'standard output'} ({output.kind})"]
