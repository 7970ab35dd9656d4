"""The date in SIGSTRUCT, which is signed and so decides whether two builds are equal."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.sgx.sigstruct import bcd_date

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_DATE = "0000-00-00"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_date(text: str) -> int:
    """YYYY-MM-DD, or 0000-00-00 for none, as SIGSTRUCT's BCD number. Raises ``UsageError``."""
    if text == NO_DATE:
        return 0
    try:
        if _DATE.fullmatch(text):
            return bcd_date(dt.date.fromisoformat(text))
    except ValueError:
        pass
    raise UsageError(f"{text!r} is no date", hint="Dates are written YYYY-MM-DD.")


def source_date(environ: Mapping[str, str]) -> dt.date | None:
    """The UTC day of SOURCE_DATE_EPOCH (reproducible-builds.org), if it is set. Raises ``UsageError``."""
    if not (text := environ.get("SOURCE_DATE_EPOCH", "")):
        return None
    try:
        return dt.datetime.fromtimestamp(int(text), dt.UTC).date()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH is no number of seconds: {text[:40]!r}") from error


def tool_date(option: str | None, environ: Mapping[str, str]) -> int:
    """For tools that date what they sign with today: the option, else SOURCE_DATE_EPOCH, else the UTC day."""
    if option is not None and option.lower() != "today":
        return parse_date(option)
    return bcd_date(source_date(environ) or dt.datetime.now(dt.UTC).date())
