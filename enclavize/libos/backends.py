"""The backends by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from enclavize.libos.base import Backend


def backend_for(name: str) -> Backend:
    """Return the backend that ``--libos`` names. Raises UsageError."""
    if name == "builtin":
        from enclavize.libos.builtin.backend import BuiltinBackend

        return BuiltinBackend()
    raise UsageError(
        f"--libos {name}: building for {name} is not available in this version",
        hint="leave --libos out for the builtin LibOS, or add --check",
    )
