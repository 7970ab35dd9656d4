"""Progress: a stream of typed events beside the pipeline, drawn by renderers."""

from enclavize.progress.events import Event, EventKind
from enclavize.progress.reporter import Reporter, Task

__all__ = ["Event", "EventKind", "Reporter", "Task"]
