"""Values of ``--progress``, as in docker buildx."""

from enum import StrEnum


class ProgressMode(StrEnum):
    """How progress is shown. ``quiet`` leaves the image ID on standard output, ``none`` nothing at all."""

    AUTO = "auto"
    TTY = "tty"
    PLAIN = "plain"
    QUIET = "quiet"
    RAWJSON = "rawjson"
    NONE = "none"
