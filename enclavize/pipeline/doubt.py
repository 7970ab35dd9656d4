"""Doubts: warnings, or with ``--production`` errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import SigningRefusedError

if TYPE_CHECKING:
    from enclavize.pipeline.options import BuildOptions
    from enclavize.progress import Task


def doubt(message: str, options: BuildOptions, task: Task) -> None:
    """Warn, or raise SigningRefusedError where no doubt is wanted."""
    if options.strict:
        raise SigningRefusedError(f"--production: {message}")
    task.warn(message)
