"""The date in SIGSTRUCT."""

from __future__ import annotations

import datetime as dt

import pytest

from enclavize.errors import UsageError
from enclavize.signing.dates import build_date, parse_date, tool_date

CREATED = dt.datetime(2025, 3, 4, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=-2)))


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


def test_a_build_is_dated_by_option_environment_and_image() -> None:
    environ = {"SOURCE_DATE_EPOCH": "1795392000"}
    assert build_date("2026-01-02", environ, CREATED) == 0x20260102
    assert build_date(None, environ, CREATED) == 0x20261123
    assert build_date(None, {}, CREATED) == 0x20250305
    assert build_date(None, {}, None) == 0x19800101
    assert build_date(None, {}, dt.datetime(1, 1, 2, tzinfo=dt.UTC)) == 0x19800101
    assert build_date(None, {"SOURCE_DATE_EPOCH": "0"}, CREATED) == 0x19800101


def test_tools_take_the_epoch_as_it_is() -> None:
    assert tool_date(None, {"SOURCE_DATE_EPOCH": "0"}) == 0x19700101
    assert tool_date("Today", {"SOURCE_DATE_EPOCH": "0"}) == 0x19700101
    assert tool_date("2026-01-02", {"SOURCE_DATE_EPOCH": "0"}) == 0x20260102


@pytest.mark.parametrize("text", ["now", "1e9", "9" * 30])
def test_a_bad_epoch_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        build_date(None, {"SOURCE_DATE_EPOCH": text}, None)
