"""``--libos auto``: take the LibOS that suits the image best: the builtin one, or that of ``--toolchain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.choice import best, reason
from enclavize.compat.profile import profile_for
from enclavize.errors import IncompatibleImageError
from enclavize.libos.toolchain_profile import profile_of
from enclavize.pipeline.check import reports_on
from enclavize.rootfs.index import index_image

if TYPE_CHECKING:
    from enclavize.libos.toolchain import Toolchain
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.progress import Reporter


def choose_libos(image: Image, toolchain: Toolchain | None, cache: BlobCache, reporter: Reporter) -> str:
    """Return the name of the LibOS, and say why. Raises IncompatibleImageError if none runs the image."""
    rootfs = index_image(image, cache=cache, reporter=reporter)
    with reporter.task("choose a LibOS") as task:
        profiles = [profile_for("builtin")]
        if toolchain is not None:
            profiles.append(profile_of(toolchain))
        reports = reports_on(rootfs, image, profiles)
        chosen = best(reports)
        if chosen is None:
            raise IncompatibleImageError(
                f"no LibOS that can be built for runs {image.name}",
                hint="see enclavize check for what each of them lacks",
            )
        task.log(f"{chosen.title}: {reason(chosen, reports)}")
    return chosen.libos
