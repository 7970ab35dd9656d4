"""The one date of a build: nothing in the output depends on the clock."""

from __future__ import annotations

import datetime as dt

EARLIEST = dt.date(1980, 1, 1)
"""Older dates are those of tools that have none: 0001-01-01, 1970-01-01, and ZIP's 1980."""


def signing_date(asked: dt.date | None, source_date_epoch: int | None, image_created: str) -> dt.date:
    """Return SIGSTRUCT's date: what was asked for, SOURCE_DATE_EPOCH, or when the image was made (UTC)."""
    if asked:
        return asked
    if source_date_epoch is not None:
        return max(dt.datetime.fromtimestamp(source_date_epoch, dt.UTC).date(), EARLIEST)
    return max(_date_of(image_created), EARLIEST)


def created_text(source_date_epoch: int | None) -> str:
    """Return SOURCE_DATE_EPOCH as the image configuration has it; "" leaves the source's time."""
    if source_date_epoch is None:
        return ""
    return dt.datetime.fromtimestamp(source_date_epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _date_of(text: str) -> dt.date:
    try:
        time = dt.datetime.fromisoformat(text)
        return (time if time.tzinfo is None else time.astimezone(dt.UTC)).date()
    except (ValueError, OverflowError):
        return EARLIEST
