"""Event types. The JSON form (``--progress rawjson``) is versioned by ``EVENT_VERSION``."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

EVENT_VERSION = 1


class EventKind(StrEnum):
    """What an event tells about its task."""

    START = "start"
    PROGRESS = "progress"
    LOG = "log"
    WARNING = "warning"
    CACHED = "cached"
    DONE = "done"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of one task.

    ``current`` and ``total`` are bytes; ``total`` is None when it is not known. ``timestamp`` is seconds on
    the monotonic clock since the reporter was made.
    """

    id: int
    kind: EventKind
    name: str
    timestamp: float
    message: str = ""
    current: int = 0
    total: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the versioned JSON form."""
        return {"v": EVENT_VERSION, **asdict(self), "kind": self.kind.value}
