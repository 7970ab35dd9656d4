"""One JSON object a line, for programs. The schema is that of ``Event.to_json``, versioned by its ``v``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from enclavize.progress.events import Event


class RawJsonRenderer:
    """Writes every event as it comes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        self._stream.write(json.dumps(event.to_json(), separators=(",", ":")) + "\n")
        self._stream.flush()
