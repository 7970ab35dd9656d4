"""How sizes and times are shown to people."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_size(count: int) -> str:
    """Return bytes in decimal units: ``1.5 MB``."""
    size = float(count)
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def format_progress(current: int, total: int | None) -> str:
    """Return ``12.0 MB / 48.0 MB``, ``12.0 MB`` if the end is not known, or "" if nothing is counted."""
    if total:
        return f"{format_size(current)} / {format_size(total)}"
    return format_size(current) if current else ""


def format_seconds(seconds: float) -> str:
    """Return ``0.4s``."""
    return f"{seconds:.1f}s"
