"""Plain lines, for logs: the form that BuildKit gave to build logs.

    #1 resolve example.org/app:1
    #1 DONE 0.1s
    #2 index layer 5f1b3c2a9d0e
    #2 1.2 MB / 3.4 MB
    #2 CACHED

A step that is interrupted by another one's lines is shown again as ``#2 ...`` before the other's begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from enclavize.progress.events import EventKind
from enclavize.progress.units import format_seconds, format_transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.progress.events import Event

_MIN_FRACTION = 0.05
_MIN_SECONDS = 5.0
"""A progress line is written after this time, or after a second if the step advanced by this fraction."""


class PlainRenderer:
    """Writes lines; never goes back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started: dict[int, float] = {}
        self._shown: dict[int, tuple[float, int]] = {}
        self._current = 0

    def __call__(self, event: Event) -> None:
        if event.kind is EventKind.START:
            self._started[event.id] = event.timestamp
            self._shown[event.id] = event.timestamp, 0
        lines = list(self._lines(event))
        if not lines:
            return
        if self._current not in (event.id, 0) and self._current in self._started:
            self._stream.write(f"#{self._current} ...\n")
        if self._current != event.id and event.kind is not EventKind.START:
            self._stream.write(f"#{event.id} {event.name}\n")
        self._current = event.id
        self._stream.writelines(f"#{event.id} {line}\n" for line in lines)
        self._stream.flush()
        if event.kind in (EventKind.DONE, EventKind.CACHED, EventKind.ERROR):
            self._started.pop(event.id, None)

    def close(self) -> None:
        """Nothing is left to draw."""

    def _lines(self, event: Event) -> Iterator[str]:
        seconds = event.timestamp - self._started.get(event.id, event.timestamp)
        match event.kind:
            case EventKind.START:
                yield event.name
            case EventKind.PROGRESS:
                if self._is_due(event):
                    self._shown[event.id] = event.timestamp, event.current
                    yield format_transfer(event.current, event.total, seconds)
            case EventKind.LOG:
                yield from (f"{format_seconds(seconds)} {line}" for line in event.message.splitlines())
            case EventKind.WARNING:
                yield from (f"WARNING: {line}" for line in event.message.splitlines())
            case EventKind.CACHED:
                yield "CACHED"
            case EventKind.DONE:
                yield f"DONE {format_seconds(seconds)}"
            case EventKind.ERROR:
                yield f"ERROR: {event.message}"

    def _is_due(self, event: Event) -> bool:
        shown_at, shown = self._shown.get(event.id, (0.0, 0))
        waited = event.timestamp - shown_at
        if waited >= _MIN_SECONDS:
            return True
        return waited >= 1 and event.current - shown >= _MIN_FRACTION * (event.total or event.current)
