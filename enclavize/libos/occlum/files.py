"""Occlum's own files in a TEE image that are not in its file systems: in one layer that all images share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.libos.occlum.build import SgxMode
from enclavize.libos.occlum.format import PAL_PATH
from enclavize.tee.instance import InstanceFile

if TYPE_CHECKING:
    from enclavize.libos.toolchain.model import Toolchain


def toolchain_files(toolchain: Toolchain, mode: SgxMode = SgxMode.HARDWARE) -> tuple[InstanceFile, ...]:
    """Return the PAL. Raises UsageError if the toolchain has none."""
    file = toolchain.require(f"lib/libocclum-pal{mode.suffix}.so")
    return (InstanceFile(path=PAL_PATH, mode=0o555, size=file.size, open=file.open),)
