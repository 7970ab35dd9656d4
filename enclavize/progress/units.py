"""How sizes and times are shown to people."""

_UNITS = ("B", "kB", "MB", "GB", "TB")
_MIN_SECONDS = 1.0
"""A rate is told after this time."""


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


def format_transfer(current: int, total: int | None, seconds: float) -> str:
    """Return how far something is that has been under way for ``seconds``, how fast, and for how long still.

    ``12.0 MB / 48.0 MB, 6.0 MB/s, 6s left``; rate and rest are left out while they would be guesses.
    """
    progress = format_progress(current, total)
    if not current or seconds < _MIN_SECONDS:
        return progress
    rate = current / seconds
    parts = [progress, f"{format_size(round(rate))}/s"]
    if total and current < total:
        parts.append(f"{format_duration((total - current) / rate)} left")
    return ", ".join(parts)


def format_duration(seconds: float) -> str:
    """Return ``6s``, ``2m05s`` or ``1h02m``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def format_seconds(seconds: float) -> str:
    """Return ``0.4s``."""
    return f"{seconds:.1f}s"
