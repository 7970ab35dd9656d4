"""How instances are read back from TEE images, by the name of the LibOS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError
from enclavize.tee.annotations import LIBOS
from enclavize.tee.contents import require_tee_image

if TYPE_CHECKING:
    from enclavize.oci.image import Image
    from enclavize.tee.format import InstanceFormat


def format_of(image: Image) -> InstanceFormat:
    """Return the format of a TEE image's instance. Raises InvalidImageError for other images."""
    require_tee_image(image)
    return format_for(image.config.labels.get(LIBOS, ""))


def format_for(libos: str) -> InstanceFormat:
    """Return the format of a LibOS's instances. Raises InvalidImageError."""
    if libos == "builtin":
        from enclavize.libos.builtin.format import BuiltinFormat

        return BuiltinFormat()
    if libos == "gramine":
        from enclavize.libos.gramine.format import GramineFormat

        return GramineFormat()
    if libos == "occlum":
        from enclavize.libos.occlum.format import OcclumFormat

        return OcclumFormat()
    raise InvalidImageError(
        f"instances of the LibOS {libos[:40]!r} are not known to this version of enclavize"
    )
