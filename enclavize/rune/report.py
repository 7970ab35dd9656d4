"""How an error reaches the engine: standard error, and the log that containerd and dockerd read."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enclavize.rune.command_line import CommandLine


def report_error(line: CommandLine, message: str) -> None:
    """Say ``message`` in one line, in the format of runc's own log."""
    message = " ".join(message.split())
    sys.stderr.write(f"rune: error: {message}\n")
    if not line.log:
        return
    try:
        with Path(line.log).open("a", encoding="utf-8") as log:
            log.write(log_record(message, line.log_format, dt.datetime.now(dt.UTC)) + "\n")
    except OSError as error:
        sys.stderr.write(f"rune: error: cannot write {line.log}: {error.strerror}\n")


def log_record(message: str, form: str, now: dt.datetime) -> str:
    """Return one record as logrus, runc's logger, writes it; the time is RFC 3339."""
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if form == "json":
        return json.dumps({"level": "error", "msg": message, "time": time})
    return f'time="{time}" level=error msg={json.dumps(message)}'
