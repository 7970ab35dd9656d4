"""A terminal: the steps as a list that is drawn in place, warnings below it at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from enclavize.progress.events import EventKind
from enclavize.progress.units import format_progress, format_seconds, format_transfer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from enclavize.progress.events import Event

_REFRESH_PER_SECOND = 8
_SHOWN_STEPS = 20
_STYLES = {EventKind.DONE: "blue", EventKind.CACHED: "blue", EventKind.ERROR: "red"}


@dataclass
class _Step:
    name: str
    started: float
    ended: float | None = None
    kind: EventKind = EventKind.START
    current: int = 0
    total: int | None = None
    log: list[str] = field(default_factory=list)


class TtyRenderer:
    """Draws all steps; rich honours NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._steps: dict[int, _Step] = {}
        self._warnings: list[str] = []
        self._start = time.monotonic()
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=_REFRESH_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        step = self._steps.setdefault(event.id, _Step(event.name, event.timestamp))
        step.current, step.total = event.current, event.total
        match event.kind:
            case EventKind.LOG:
                step.log.append(event.message)
            case EventKind.WARNING:
                self._warnings.append(event.message)
            case EventKind.DONE | EventKind.CACHED | EventKind.ERROR:
                step.kind, step.ended = event.kind, event.timestamp
            case EventKind.START | EventKind.PROGRESS:
                pass

    def close(self) -> None:
        """Draw the last state, then the warnings and the log of a step that failed."""
        self._live.stop()
        for step in self._steps.values():
            if step.kind is EventKind.ERROR:
                for line in step.log:
                    self._console.print(Text(f" > {line}"))
        for warning in self._warnings:
            self._console.print(Text(f"WARNING: {warning}", style="yellow"))

    def _draw(self) -> RenderableType:
        finished = sum(step.ended is not None for step in self._steps.values())
        now = time.monotonic() - self._start
        lines = [Text(f"[+] {format_seconds(now)} ({finished}/{len(self._steps)})")]
        for step in list(self._steps.values())[-_SHOWN_STEPS:]:
            mark = (
                "CACHED "
                if step.kind is EventKind.CACHED
                else "ERROR "
                if step.kind is EventKind.ERROR
                else ""
            )
            seconds = (now if step.ended is None else step.ended) - step.started
            amount = (
                format_transfer(step.current, step.total, seconds)
                if step.ended is None
                else format_progress(step.current, step.total)
            )
            taken = format_seconds(seconds)
            text = f" => {mark}{step.name}  {amount}"
            width = max(self._console.width - len(taken) - 1, 20)
            line = Text(text[:width].ljust(width) + taken, style=_STYLES.get(step.kind, ""), no_wrap=True)
            lines.append(line)
        return Group(*lines)
