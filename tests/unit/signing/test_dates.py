"""The date in SIGSTRUCT."""

from __future__ import annotations

import pytest

from enclavize.errors import UsageError
from enclavize.signing.dates import parse_date, tool_date


def test_dates_are_parsed() -> None:
    assert parse_date("2026-11-23") == 0x20261123
    assert parse_date("0000-00-00") == 0


@pytest.mark.parametrize(
    "text",
    ["", "today", "2024-13-01", "2023-02-29", "24-1-1", "2024-01-01T00:00", "20240101", "\uff12024-01-01"],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no date"):
        parse_date(text)


def test_tools_take_the_epoch_as_it_is() -> None:
    assert tool_date(None, {"SOURCE_DATE_EPOCH": "0"}) == 0x19700101
    assert tool_date("Today", {"SOURCE_DATE_EPOCH": "0"}) == 0x19700101
    assert tool_date("2026-01-02", {"SOURCE_DATE_EPOCH": "0"}) == 0x20260102


@pytest.mark.parametrize("text", ["now", "1e9", "9" * 30])
def test_a_bad_epoch_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        tool_date(None, {"SOURCE_DATE_EPOCH": text})
