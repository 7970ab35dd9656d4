"""The date of a build comes from its inputs, never from the clock."""

import datetime as dt

import pytest

from enclavize.pipeline.dates import EARLIEST, created_text, signing_date


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2026-05-06T23:30:00Z", dt.date(2026, 5, 6)),
        ("2026-05-06T23:30:00.123456789-02:00", dt.date(2026, 5, 7)),
        ("2026-05-06", dt.date(2026, 5, 6)),
        ("", EARLIEST),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("0001-01-01T00:00:00+14:00", EARLIEST),
        ("1970-01-01T00:00:00Z", EARLIEST),
        ("9999-12-31T23:59:59-14:00", EARLIEST),
        ("yesterday", EARLIEST),
    ],
)
def test_the_image_gives_the_date(created: str, expected: dt.date) -> None:
    assert signing_date(None, None, created) == expected


def test_an_option_wins_over_source_date_epoch_which_wins_over_the_image() -> None:
    asked = dt.date(2001, 2, 3)
    assert signing_date(asked, 1767225600, "2026-05-06") == asked
    assert signing_date(None, 1767225600, "2026-05-06") == dt.date(2026, 1, 1)
    assert signing_date(None, 0, "2026-05-06") == EARLIEST


def test_the_creation_time_is_the_images_unless_source_date_epoch_is_set() -> None:
    assert created_text(None) == ""
    assert created_text(1767225600) == "2026-01-01T00:00:00Z"
