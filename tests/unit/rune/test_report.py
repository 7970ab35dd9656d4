"""Errors in the form that engines read."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

from enclavize.rune.command_line import CommandLine
from enclavize.rune.report import log_record, report_error

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def test_json_records_are_those_of_runc() -> None:
    record = json.loads(log_record('a "quoted" word', "json", NOW))
    assert record == {"level": "error", "msg": 'a "quoted" word', "time": "2026-01-02T03:04:05Z"}


def test_text_records_are_those_of_runc() -> None:
    assert log_record("no", "text", NOW) == 'time="2026-01-02T03:04:05Z" level=error msg="no"'


def test_an_error_is_one_line_on_standard_error_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.json"
    log.write_text("{}\n")
    report_error(CommandLine(log=str(log), log_format="json"), "two\nlines")
    assert capsys.readouterr().err == "rune: error: two lines\n"
    first, second = log.read_text().splitlines()
    assert first == "{}"
    assert json.loads(second)["msg"] == "two lines"


def test_a_log_that_cannot_be_written_does_not_hide_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report_error(CommandLine(log=str(tmp_path)), "cause")
    assert "cause" in capsys.readouterr().err
