"""Where the pipeline reports to: tasks with a name, bytes done, log lines and warnings. Thread-safe."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from enclavize.progress.events import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of one task: renderers never need more."""


class Task:
    """One piece of work. Use as a context manager: leaving it reports done, or the error."""

    def __init__(self, reporter: Reporter, task_id: int, name: str, total: int | None) -> None:
        self._reporter = reporter
        self._id = task_id
        self._name = name
        self._last = 0.0
        self._cached = False
        self._lock = threading.Lock()
        self.current = 0
        self.total = total

    def __enter__(self) -> Self:
        self._emit(EventKind.START)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._emit(EventKind.CACHED if self._cached else EventKind.DONE)
        else:
            self._emit(EventKind.ERROR, str(error) or type(error).__name__)

    def advance(self, count: int) -> None:
        """Add ``count`` bytes to what is done."""
        with self._lock:
            self.current += count
            now = time.monotonic()
            due = now - self._last >= PROGRESS_INTERVAL
            if due:
                self._last = now
        if due:
            self._emit(EventKind.PROGRESS)

    def log(self, message: str) -> None:
        """Add one line of detail."""
        self._emit(EventKind.LOG, message)

    def warn(self, message: str) -> None:
        """Add a warning; warnings are counted and shown at the end."""
        self._emit(EventKind.WARNING, message)

    def mark_cached(self) -> None:
        """Say that the result came from a cache."""
        self._cached = True

    def _emit(self, kind: EventKind, message: str = "") -> None:
        self._reporter.emit(
            Event(
                id=self._id,
                kind=kind,
                name=self._name,
                timestamp=self._reporter.elapsed(),
                message=message,
                current=self.current,
                total=self.total,
            )
        )


class Reporter:
    """Numbers tasks and hands their events to one sink, one at a time."""

    def __init__(self, sink: Callable[[Event], None] | None = None) -> None:
        self._sink = sink or (lambda _event: None)
        self._start = time.monotonic()
        self._count = 0
        self._lock = threading.Lock()

    def task(self, name: str, total: int | None = None) -> Task:
        """Make a task; ``total`` is its size in bytes where that is known."""
        with self._lock:
            self._count += 1
            return Task(self, self._count, name, total)

    def emit(self, event: Event) -> None:
        """Hand one event to the sink."""
        with self._lock:
            self._sink(event)

    def elapsed(self) -> float:
        """Return seconds since the reporter was made."""
        return time.monotonic() - self._start
