"""What the renderers draw."""

import io
import json
import os
import pty

import pytest

from enclavize.errors import UsageError
from enclavize.progress import Reporter
from enclavize.progress.mode import ProgressMode
from enclavize.progress.plain import PlainRenderer
from enclavize.progress.renderer import reporting
from enclavize.progress.units import format_duration, format_progress, format_size, format_transfer


def work(reporter: Reporter) -> None:
    with reporter.task("first") as first:
        first.log("a line")
        with reporter.task("second", total=10) as second:
            second.advance(10)
            second.mark_cached()
        first.warn("beware")
    with pytest.raises(ValueError, match="broken"), reporter.task("third"):
        raise ValueError("broken")


def test_plain_shows_steps_and_marks_interrupted_ones() -> None:
    stream = io.StringIO()
    renderer = PlainRenderer(stream)
    work(Reporter(renderer))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "#1 first"
    assert lines[1].endswith("a line")
    assert lines[2:6] == ["#1 ...", "#2 second", "#2 CACHED", "#1 first"]
    assert lines[6] == "#1 WARNING: beware"
    assert lines[7].startswith("#1 DONE 0.")
    assert lines[8:] == ["#3 third", "#3 ERROR: broken"]


def test_rawjson_writes_versioned_events() -> None:
    stream = io.StringIO()
    with reporting(ProgressMode.RAWJSON, stream) as reporter:
        work(reporter)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {event["v"] for event in events} == {1}
    assert [event["kind"] for event in events if event["id"] == 3] == ["start", "error"]
    assert [event["message"] for event in events if event["kind"] == "warning"] == ["beware"]


@pytest.mark.parametrize("mode", [ProgressMode.QUIET, ProgressMode.NONE])
def test_quiet_modes_write_nothing(mode: ProgressMode) -> None:
    stream = io.StringIO()
    with reporting(mode, stream) as reporter:
        work(reporter)
    assert stream.getvalue() == ""


def test_auto_is_plain_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with reporting(ProgressMode.AUTO, stream) as reporter:
        work(reporter)
    assert stream.getvalue().startswith("#1 first\n")


def test_tty_is_refused_where_there_is_no_terminal() -> None:
    with pytest.raises(UsageError, match="terminal"), reporting(ProgressMode.TTY, io.StringIO()):
        pass


def test_a_terminal_shows_steps_and_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream, reporting(ProgressMode.AUTO, stream) as reporter:
        work(reporter)
        stream.flush()
    drawn = b""
    try:
        while data := os.read(master, 65536):
            drawn += data
    except OSError:  # EIO: the other side is closed
        pass
    os.close(master)
    text = drawn.decode()
    for word in ("first", "CACHED second", "ERROR third", "WARNING: beware"):
        assert word in text


def test_sizes_are_short() -> None:
    assert [format_size(count) for count in (0, 999, 1000, 123456, 5 * 10**9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "123 kB",
        "5.0 GB",
    ]
    assert format_progress(0, None) == ""
    assert format_progress(1000, 2000) == "1.0 kB / 2.0 kB"


@pytest.mark.parametrize(
    ("current", "total", "seconds", "text"),
    [
        (12_000_000, 48_000_000, 2.0, "12.0 MB / 48.0 MB, 6.0 MB/s, 6s left"),
        (12_000_000, 48_000_000, 0.5, "12.0 MB / 48.0 MB"),
        (48_000_000, 48_000_000, 2.0, "48.0 MB / 48.0 MB, 24.0 MB/s"),
        (1_000_000_000, 20_000_000_000, 50.0, "1.0 GB / 20.0 GB, 20.0 MB/s, 15m50s left"),
        (5_000_000, None, 2.0, "5.0 MB, 2.5 MB/s"),
        (0, 10, 100.0, "0 B / 10 B"),
    ],
)
def test_rate_and_rest_of_a_transfer(current: int, total: int | None, seconds: float, text: str) -> None:
    assert format_transfer(current, total, seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.6, "1m00s"), (125, "2m05s"), (3599.9, "1h00m"), (3720, "1h02m"), (360_000, "100h00m")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
