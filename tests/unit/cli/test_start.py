"""The command starts fast: what is slow to load is loaded by the commands that need it."""

import os
import subprocess
import sys
from pathlib import Path

from support.programs import REPOSITORY

HEAVY = (
    "cryptography",
    "docker",
    "oras",
    "rich",
    "urllib3",
    "elftools",
    "jinja2",
    "pydantic",
    "zstandard",
    "tarfile",
)


def test_help_loads_nothing_heavy() -> None:
    script = f"""
import sys
from enclavize.__main__ import main
sys.argv = ["enclavize", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_plain_text_without_colours() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "enclavize", "build", "--help"], capture_output=True, text=True, check=True,
        cwd=REPOSITORY, env={**os.environ, "FORCE_COLOR": "1"},
    )  # fmt: skip
    assert "--allow-exec" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "enclavize", "--help"], stdout=writer, stderr=subprocess.PIPE, check=False,
        cwd=REPOSITORY,
    )  # fmt: skip
    os.close(writer)
    assert b"Exception" not in done.stderr
    assert b"Traceback" not in done.stderr


def test_names_that_are_no_text_are_shown(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.pem"
    done = subprocess.run(
        [sys.executable, "-m", "enclavize", "keygen", name], capture_output=True, check=True, cwd=REPOSITORY
    )
    assert b"udcff" in done.stdout


def test_streams_that_are_closed_lead_to_nowhere() -> None:
    script = f'exec {sys.executable} -m enclavize explain "$0"'
    for closed, words, code in ((">&-", "OCC001", 0), ("2>&-", "OCC999", 2), ("<&- >&- 2>&-", "OCC001", 0)):
        done = subprocess.run(
            ["sh", "-c", f"{script} {closed}", words], capture_output=True, text=True, check=False,
            cwd=REPOSITORY,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
