"""What the options before the command say."""

from dataclasses import dataclass


@dataclass
class _State:
    show_traceback: bool = False


state = _State()
"""Of this process."""
