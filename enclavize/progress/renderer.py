"""Renderers: they draw events on standard error. Standard output carries results only."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from enclavize.errors import UsageError
from enclavize.progress.mode import ProgressMode
from enclavize.progress.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.progress.events import Event


class Renderer(Protocol):
    """Takes events; ``close`` draws what is to stay on the screen."""

    def __call__(self, event: Event, /) -> None: ...

    def close(self) -> None: ...


@contextmanager
def reporting(mode: ProgressMode, stream: TextIO | None = None) -> Iterator[Reporter]:
    """Make a reporter whose events are drawn on ``stream`` (standard error) until the block ends.

    Raises UsageError for ``tty`` where there is no terminal.
    """
    stream = stream or sys.stderr
    match mode:
        case ProgressMode.QUIET | ProgressMode.NONE:
            yield Reporter()
        case ProgressMode.RAWJSON:
            from enclavize.progress.rawjson import RawJsonRenderer

            yield Reporter(RawJsonRenderer(stream))
        case ProgressMode.PLAIN | ProgressMode.AUTO if mode is ProgressMode.PLAIN or not is_terminal(stream):
            from enclavize.progress.plain import PlainRenderer

            yield from _closing(PlainRenderer(stream))
        case _:
            if not is_terminal(stream):
                raise UsageError("--progress tty needs a terminal", hint="use --progress plain")
            from enclavize.progress.tty import TtyRenderer

            yield from _closing(TtyRenderer(stream))


def is_terminal(stream: TextIO) -> bool:
    """Tell whether lines on ``stream`` can be drawn over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _closing(renderer: Renderer) -> Iterator[Reporter]:
    try:
        yield Reporter(renderer)
    finally:
        renderer.close()
