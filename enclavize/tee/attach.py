"""Give a TEE image another signature: the instance's layer and what follows from it are new, nothing else."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.oci.descriptor import Descriptor
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.media_types import OCI_LAYER
from enclavize.oci.stream import chunks
from enclavize.rootfs.decompress import decompressed
from enclavize.rootfs.names import path_text
from enclavize.rootfs.tar import TarReader
from enclavize.rootfs.tar_header import RECORD_SIZE
from enclavize.tee import layout
from enclavize.tee.annotations import describe
from enclavize.tee.image import copied_config, describe_file, write_documents
from enclavize.tee.instance import InstanceFile
from enclavize.tee.tar import LAYER_WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.description import TeeDescription
    from enclavize.tee.image import TeeImage
    from enclavize.tee.tar import LayerWriter


def attach_signature(
    image: Image,
    description: TeeDescription,
    annotations: Mapping[str, str],
    sigstruct: Sigstruct,
    signature_file: InstanceFile,
    *,
    cache: BlobCache,
) -> TeeImage:
    """Return ``image`` with the file that carries ``sigstruct``; what is new is in the cache.

    ``description`` and the manifest's ``annotations`` are those of ``image``, which was verified. The result
    is the image that a build with this signer would have made.
    """
    files = dict(description.files)
    if signature_file.path in files:
        files[signature_file.path] = describe_file(signature_file)
    description = replace(description, mrsigner=sigstruct.mrsigner.hex(), files=files)
    text = description.to_bytes()
    described = InstanceFile(
        path=layout.DESCRIPTION, mode=0o444, size=len(text), open=lambda: io.BytesIO(text)
    )
    layer = _with_files(image, (signature_file, described), LAYER_WRITERS[description.version], cache)
    facts = describe(description)
    config = copied_config(image)
    config["config"]["Labels"] = {**image.config.labels, **facts}
    config["rootfs"]["diff_ids"] = [*image.config.diff_ids[:-1], layer.digest]
    return write_documents(
        config,
        (*image.layers[:-1], layer),
        {**annotations, **facts},
        description,
        name=image.name,
        cache=cache,
    )


def _with_files(
    image: Image, replacements: Iterable[InstanceFile], form: LayerWriter, cache: BlobCache
) -> Descriptor:
    """Copy the last layer, with ``replacements`` for the files of these names. Raises InvalidImageError.

    The layer was compared with what a build writes.
    """
    what = f"the last layer of {image.name}"
    files = {f"{layout.ROOT}/{file.path}": file for file in replacements}
    with fetch_blob(image, image.layers[-1], cache) as stream, cache.writer() as output:
        archive = TarReader(decompressed(stream, what), what)
        for member in archive:
            file = files.get(path_text(member.name))
            size = file.size if file else member.size
            path, target = path_text(member.name).removesuffix("/"), path_text(member.link)
            output.write(form.header(path, member.type, member.mode, size, target))
            if file:
                with file.open() as source:
                    shutil.copyfileobj(source, output, 1 << 20)
            else:
                for data in archive.pieces():
                    output.write(bytes(data))
            output.write(bytes(-size % RECORD_SIZE))
        for _ in chunks(stream):  # the digest is verified with the last byte
            pass
        output.write(form.end)
    return Descriptor(media_type=OCI_LAYER, digest=output.digest, size=output.size)
