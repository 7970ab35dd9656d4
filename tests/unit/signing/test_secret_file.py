"""Tokens and PINs in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.errors import UsageError
from enclavize.signing.remote import read_token
from enclavize.signing.secret_file import MAX_SECRET, read_secret

if TYPE_CHECKING:
    from pathlib import Path


def secret(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"1234", b"1234\n", b"1234\r\n", b"1234\nsecond line\n"])
def test_the_first_line_is_the_secret(tmp_path: Path, content: bytes) -> None:
    assert read_secret(secret(tmp_path, content), "PIN") == b"1234"


@pytest.mark.parametrize("content", [b"", b"\n1234", b"\r\n", b"1" * (MAX_SECRET + 1)])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="no PIN in its first line"):
        read_secret(secret(tmp_path, content), "PIN")


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_file_that_everybody_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(UsageError, match="every user") as caught:
        read_secret(secret(tmp_path, b"1234", mode), "PIN")
    assert "1234" not in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="cannot read the PIN"):
            read_secret(path, "PIN")


@pytest.mark.parametrize("content", [b"two words", b"\x00\x01", "Ü".encode(), b"   \n"])
def test_a_token_is_one_printable_word(tmp_path: Path, content: bytes) -> None:
    assert read_token(secret(tmp_path, b" abc-123 \n")) == "abc-123"
    with pytest.raises(UsageError, match="no token"):
        read_token(secret(tmp_path, content))
