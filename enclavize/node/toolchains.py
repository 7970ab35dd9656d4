"""Toolchains that the node's rules name, opened once: the daemon asks for one whenever a container starts.

What has been opened is verified when it is read. So a toolchain that was installed anew since is not taken
for the old one: conversions fail, and the next opens it again.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, UsageError
from enclavize.libos.titles import TITLES
from enclavize.oci.cache import BlobCache
from enclavize.pipeline.toolchain import toolchain_of
from enclavize.progress import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.libos.toolchain import Toolchain
    from enclavize.pipeline.options import BuildOptions

LIBOSES = ("builtin", "gramine", "occlum")
"""Those that images are converted for on nodes."""


def check_libos(options: BuildOptions, rule: str) -> None:
    """Refuse a rule that asks for what nodes do not convert with. Raises UsageError."""
    if options.libos not in LIBOSES:
        raise UsageError(f"the rule {rule} asks for {options.libos}: nodes convert for {', '.join(LIBOSES)}")


def check_rule(options: BuildOptions, rule: str) -> None:
    """Refuse that, and a toolchain that is not the node's own. Raises UsageError."""
    check_libos(options, rule)
    text = options.toolchain
    if options.libos in TITLES and text is not None and "/" in text and not text.startswith("/"):
        raise UsageError(
            f"the rule {rule} has the toolchain {text}: a node's is a folder, by its absolute path, or a "
            "kept one, by its name"
        )


class Toolchains:
    """Open toolchains, by what the rules call them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str | None], Toolchain] = {}

    def of(self, options: BuildOptions) -> Toolchain | None:
        """Return the toolchain of a rule; None for the builtin LibOS. Raises EnclavizeError."""
        if options.libos not in TITLES:
            return None
        key = options.libos, options.toolchain
        with self._lock:
            if (known := self._open.get(key)) is None:
                known = toolchain_of(options, BlobCache(), Reporter())
                assert known is not None
                self._open[key] = known
            return known

    @contextmanager
    def used_for(self, options: BuildOptions) -> Iterator[None]:
        """Have the toolchain opened again by who asks next, if this one fails: it may have changed."""
        try:
            yield
        except EnclavizeError:
            with self._lock:
                self._open.pop((options.libos, options.toolchain), None)
            raise
