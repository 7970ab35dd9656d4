"""Files of TOML are read within a bound, and what is wrong is said in words, whatever a parser raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.errors import UsageError
from enclavize.toml_file import read_toml

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 100_000


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a = 1\n".ljust(LIMIT))
    assert read_toml(path, "list", LIMIT) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" " * (LIMIT + 1), f"a.toml: a list has at most {LIMIT} bytes"),
        (b"a = " + b"[" * 50_000, "a.toml: values are nested too deeply"),
        (b"a = \xff", "a.toml: 'utf-8' codec can't decode"),
        (b"a = " + b"9" * 10_000, "a.toml: Exceeds the limit"),
        (b"a", r"a.toml: Expected '='"),
    ],
)
def test_the_message_says_which_file_and_what(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_toml(path, "list", LIMIT)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, tmp_path / ("a" * 300)):
        with pytest.raises(UsageError, match=f"cannot read the list {path}"):
            read_toml(path, "list", LIMIT)
