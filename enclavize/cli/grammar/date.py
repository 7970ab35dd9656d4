"""Dates on the command line and SOURCE_DATE_EPOCH."""

import datetime as dt

from enclavize.errors import UsageError

_FIRST_YEAR, _LAST_YEAR = 1980, 9999


def parse_date(text: str) -> dt.date:
    """Parse ``YYYY-MM-DD``. Raises UsageError."""
    try:
        date = dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError as error:
        raise UsageError(f"--date {text!r} is not a date of the form YYYY-MM-DD") from error
    if not _FIRST_YEAR <= date.year <= _LAST_YEAR:
        raise UsageError(f"--date {text}: the year must be {_FIRST_YEAR} or later")
    return date


def parse_epoch(text: str | None) -> int | None:
    """Parse SOURCE_DATE_EPOCH: seconds since 1970; None or "" is none. Raises UsageError."""
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 12 or int(text) > _LAST_SECOND:
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, which is not a number of seconds since 1970")
    return int(text)


_LAST_SECOND = int(dt.datetime(_LAST_YEAR, 12, 31, tzinfo=dt.UTC).timestamp())
