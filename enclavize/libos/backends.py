"""The backends by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.libos.titles import TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.libos.base import Backend
    from enclavize.libos.toolchain.model import Toolchain

BACKENDS = ("builtin", "gramine", "occlum")
"""LibOSes that images can be built for."""


def backend_for(
    name: str, toolchain: Toolchain | None = None, table: Mapping[str, Any] | None = None
) -> Backend:
    """Return the backend that ``--libos`` names, with its LibOS's files, and its table of the options.

    Raises UsageError.
    """
    if name not in BACKENDS:
        raise UsageError(
            f"--libos {name}: building for {name} is not available in this version",
            hint=f"build for one of {', '.join(BACKENDS)}, or add --check",
        )
    if name in TITLES:
        if toolchain is None:
            raise UsageError(
                f"--libos {name} needs the files of {TITLES[name]}",
                hint="add --toolchain with an install prefix, an image that has one, or a kept toolchain",
            )
        if toolchain.libos != name:
            raise UsageError(f"the toolchain {toolchain.origin} holds {toolchain.title}, not {TITLES[name]}")
    elif toolchain is not None:
        raise UsageError(f"--toolchain: the LibOS {name} takes none", hint="leave it out")
    if toolchain is None:
        from enclavize.libos.builtin.backend import BuiltinBackend

        return BuiltinBackend()
    if name == "gramine":
        from enclavize.libos.gramine.backend import GramineBackend

        return GramineBackend(toolchain)
    from enclavize.libos.occlum.backend import OcclumBackend
    from enclavize.oci.cache import BlobCache

    return OcclumBackend(toolchain, BlobCache(), table or {})
