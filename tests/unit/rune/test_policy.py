"""What decides on a node: the files are looked after, and a change of any of them is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.policy import load_policy

if TYPE_CHECKING:
    from pathlib import Path

FLAW = '[[flaw]]\nid = "X-1"\nlibos = "builtin"\ntitle = "t"\nsource = "s"\nfixed = "99"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration that names a file of each kind."""
    pins, flaws, path = tmp_path / "pins", tmp_path / "flaws.toml", tmp_path / "config.toml"
    pins.write_text(f"{'ab' * 32}  gramine/sgx/loader\n")
    flaws.write_text(FLAW)
    path.write_text(f'host_files = ["{pins}"]\nknown_flaws = ["{flaws}"]\n')
    return path


def test_each_file_that_decides_has_its_digest(config: Path) -> None:
    before = load_policy(config).digests
    assert {str(config), str(config.with_name("pins")), str(config.with_name("flaws.toml"))} < before.keys()
    for name in ("config.toml", "pins", "flaws.toml"):
        path = config.with_name(name)
        path.write_text(path.read_text() + "# changed\n")
        after = load_policy(config).digests
        assert {key for key in before if before[key] != after[key]} == {str(path)}
        before = after
    absent = load_policy(config.with_name("absent")).digests
    assert absent[str(config.with_name("absent"))] == "-"


def test_flaws_are_those_of_the_package_and_of_the_files(config: Path) -> None:
    policy = load_policy(config)
    assert [flaw.id for flaw in policy.flaws_of("builtin", "98.0")] == ["X-1"]
    assert "X-1" in {flaw.id for flaw in policy.flaws_of("builtin", "0.0.1")}
    accepted = replace(policy, settings=replace(policy.settings, allow_flaws=("X-1",)))
    assert accepted.flaws_of("builtin", "98.0") == ()


@pytest.mark.parametrize("name", ["config.toml", "pins", "flaws.toml"])
def test_a_file_that_others_can_write_to_decides_nothing(config: Path, name: str) -> None:
    for mode in (0o666, 0o664, 0o646):
        config.with_name(name).chmod(mode)
        with pytest.raises(EnclavizeError, match="others can write"):
            load_policy(config)


@pytest.mark.parametrize("name", ["pins", "flaws.toml"])
def test_a_file_that_is_missing_stops_everything(config: Path, name: str) -> None:
    path = config.with_name(name)
    path.unlink()
    with pytest.raises(EnclavizeError, match="no such file"):
        load_policy(config)
    path.mkdir()
    with pytest.raises(EnclavizeError, match="cannot read"):
        load_policy(config)
    path.rmdir()
    path.write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(EnclavizeError, match="at most"):
        load_policy(config)


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(EnclavizeError, match="cannot read"):
        load_policy(tmp_path / "config.toml")


def test_options_of_a_run_change_the_digests(config: Path) -> None:
    policy = load_policy(config)
    narrowed = policy.narrowed(replace(policy.settings, mrsigners=(bytes(32),)))
    assert narrowed.digests.items() > policy.digests.items()
    assert narrowed != policy.narrowed(replace(policy.settings, mrsigners=(b"x" * 32,)))
