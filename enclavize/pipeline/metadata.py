"""``--metadata-file`` and ``--iidfile``: both are written after success only, whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enclavize.oci.storage import atomic_file, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.pipeline.image_signing import SignedImage
    from enclavize.tee.image import TeeImage


def metadata(tee: TeeImage, signed: SignedImage | None = None) -> dict[str, Any]:
    """Return what was built: the keys of docker buildx, then ours."""
    description = tee.description
    image_signature = {}
    if signed:
        from enclavize.signing.image_keys import fingerprint

        key, names = f"sha256:{fingerprint(signed.key)}", list(signed.signatures)
        image_signature = {"enclavize.image-signature": {"key": key, "names": names}}
    return {
        "containerimage.config.digest": tee.config.digest,
        "containerimage.descriptor": tee.manifest.to_json(),
        "containerimage.digest": tee.manifest.digest,
        "enclavize.debug": description.debug,
        **image_signature,
        "enclavize.isvprodid": description.isv_prod_id,
        "enclavize.isvsvn": description.isv_svn,
        "enclavize.libos": description.libos,
        "enclavize.libos.version": description.libos_version,
        "enclavize.mrenclave": description.mrenclave,
        "enclavize.mrsigner": description.mrsigner,
    }


def write_metadata(path: Path | None, tee: TeeImage, signed: SignedImage | None = None) -> None:
    """Write the metadata file, if one is wanted."""
    if path is not None:
        _write(path, json.dumps(metadata(tee, signed), indent=2) + "\n")


def write_image_id(path: Path | None, tee: TeeImage) -> None:
    """Write the image ID, if it is wanted."""
    if path is not None:
        _write(path, tee.config.digest)


def forget_image_id(path: Path | None) -> None:
    """Remove the ID of an earlier build, so that it does not outlive a failure."""
    if path is not None:
        with storage_errors("remove", path):
            path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as output:
        output.write(text.encode())
