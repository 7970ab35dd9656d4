"""Annotations and labels (docs/tee-image.md, section 3): for tools only, nothing of it is trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.oci.location import RegistryLocation

if TYPE_CHECKING:
    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.location import Location
    from enclavize.tee.description import TeeDescription

FORMAT = "org.enclavize.format"
LIBOS = "org.enclavize.libos"
SIMULATION = "org.enclavize.simulation"
MRENCLAVE = "org.enclavize.mrenclave"
MRSIGNER = "org.enclavize.mrsigner"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"


def describe(description: TeeDescription) -> dict[str, str]:
    """Return what both the annotations and the labels of a TEE image repeat; unsigned, it has no signer."""
    signer = {MRSIGNER: description.mrsigner} if description.mrsigner else {}
    mode = {SIMULATION: "true"} if description.simulation else {}
    return (
        signer
        | mode
        | {
            FORMAT: str(description.version),
            LIBOS: description.libos,
            "org.enclavize.libos.version": description.libos_version,
            MRENCLAVE: description.mrenclave,
            "org.enclavize.isvprodid": str(description.isv_prod_id),
            "org.enclavize.isvsvn": str(description.isv_svn),
            "org.enclavize.debug": "true" if description.debug else "false",
        }
    )


def base_annotations(location: Location, manifest: Descriptor) -> dict[str, str]:
    """Return where the image came from, if that is a registry; paths of this machine are left out."""
    if not isinstance(location, RegistryLocation):
        return {}
    reference = location.reference
    name = f"{reference.name}:{reference.tag}" if reference.tag else str(reference)
    return {BASE_NAME: name, BASE_DIGEST: manifest.digest}
