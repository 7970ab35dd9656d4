"""The administrator's settings: strict, because a policy with a typing error must not become no policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune import settings
from enclavize.rune.policy import load_policy
from enclavize.rune.settings import Settings, read_settings, settings_file

SIGNER = "ab" * 32
CONFIG = Path("/etc/rune/config.toml")


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_policy(tmp_path / "config.toml").settings == Settings()


def test_all_keys() -> None:
    text = (
        f'allow_simulation = false\nallow_debug = false\nmrsigners = ["{SIGNER}"]\nproduct_ids = [1, 2]\n'
        'min_isvsvn = 3\nlog_level = "error"\nlibos = ["builtin", "gramine"]\n'
        'min_libos = {builtin = "0.2.0"}\nhost_files = ["/etc/rune/gramine"]\n'
        'allow_unchecked_host_files = true\nknown_flaws = ["/etc/rune/flaws"]\n'
        'allow_flaws = ["CVE-2024-25371"]\nordinary = "refuse"\n'
    )
    assert read_settings(text.encode(), CONFIG) == Settings(
        allow_simulation=False,
        allow_debug=False,
        mrsigners=(bytes.fromhex(SIGNER),),
        product_ids=(1, 2),
        min_isvsvn=3,
        libos=("builtin", "gramine"),
        min_libos={"builtin": "0.2.0"},
        host_files=(Path("/etc/rune/gramine"),),
        allow_unchecked_host_files=True,
        known_flaws=(Path("/etc/rune/flaws"),),
        allow_flaws=("CVE-2024-25371",),
        log_level="error",
        ordinary="refuse",
    )


@pytest.mark.parametrize(
    "text",
    [
        "allow_simulaton = false",
        "allow_simulation = 0",
        'allow_debug = "no"',
        'ordinary = "converted"',
        "ordinary = true",
        "mrsigners = []",
        'mrsigners = "ab"',
        'mrsigners = ["ab"]',
        "mrsigners = [7]",
        "product_ids = [70000]",
        "product_ids = [true]",
        "min_isvsvn = -1",
        "libos = []",
        'libos = "builtin"',
        'libos = ["graphene"]',
        "libos = [[]]",
        'min_libos = "0.2.0"',
        'min_libos = {buildin = "0.2.0"}',
        "min_libos = {builtin = 0.2}",
        'min_libos = {builtin = ""}',
        'min_libos = {builtin = "latest"}',
        'host_files = "/etc/rune/gramine"',
        'host_files = ["gramine"]',
        'host_files = ["/a\\nb"]',
        "host_files = []",
        "allow_unchecked_host_files = 1",
        "known_flaws = [7]",
        'allow_flaws = [""]',
        "allow_flaws = true",
        'log_level = "loud"',
        "log_level = 3",
        "allow_debug = ",
        "\x00",
        "x = " + "[" * 5000,
    ],
)
def test_a_malformed_file_is_refused_by_name(text: str) -> None:
    with pytest.raises(EnclavizeError, match=r"config\.toml"):
        read_settings(text.encode(), CONFIG)


def test_a_file_that_is_not_text_is_refused() -> None:
    with pytest.raises(EnclavizeError, match=r"config\.toml"):
        read_settings(b"\xff\xfe", CONFIG)


def test_which_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, own = tmp_path / "etc/config.toml", tmp_path / "home/.config/rune/config.toml"
    monkeypatch.setattr(settings, "SETTINGS_FILE", system)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert settings_file() == (system, False)
    own.parent.mkdir(parents=True)
    own.touch()
    assert settings_file() == (own, True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_file() == (system, False)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    system.parent.mkdir()
    system.touch()
    assert settings_file() == (system, False)
    monkeypatch.setenv("ENCLAVIZE_RUNE_CONFIG", "chosen.toml")
    assert settings_file() == (Path("chosen.toml"), True)
    with pytest.raises(EnclavizeError, match=r"cannot read chosen\.toml"):
        load_policy()
