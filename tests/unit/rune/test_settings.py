"""The administrator's settings: strict, because a policy with a typing error must not become no policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

SIGNER = "ab" * 32


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "config.toml") == Settings()


def test_all_keys(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        f'allow_simulation = false\nallow_debug = false\nmrsigners = ["{SIGNER}"]\nproduct_ids = [1, 2]\n'
        'min_isvsvn = 3\nlog_level = "error"\n'
    )
    assert load_settings(path) == Settings(
        allow_simulation=False,
        allow_debug=False,
        mrsigners=(bytes.fromhex(SIGNER),),
        product_ids=(1, 2),
        min_isvsvn=3,
        log_level="error",
    )


@pytest.mark.parametrize(
    "text",
    [
        "allow_simulaton = false",
        "allow_simulation = 0",
        'allow_debug = "no"',
        "mrsigners = []",
        'mrsigners = "ab"',
        'mrsigners = ["ab"]',
        "mrsigners = [7]",
        "product_ids = [70000]",
        "product_ids = [true]",
        "min_isvsvn = -1",
        'log_level = "loud"',
        "log_level = 3",
        "allow_debug = ",
        "\x00",
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(EnclavizeError, match=r"config\.toml"):
        load_settings(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(EnclavizeError, match="cannot read"):
        load_settings(tmp_path / "config.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EnclavizeError, match="cannot read"):
        load_settings(tmp_path / "binary.toml")
