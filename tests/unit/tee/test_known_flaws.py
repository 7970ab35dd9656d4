"""Releases with known flaws: the list of the package is well formed, and files may extend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize import __version__
from enclavize.errors import UsageError
from enclavize.libos_version import version_key
from enclavize.resources import data_dir
from enclavize.tee.known_flaws import KNOWN_FLAWS, known_flaws, read_flaws

if TYPE_CHECKING:
    from pathlib import Path

LIST = data_dir("libos_profiles") / KNOWN_FLAWS

MINE = """
[[flaw]]
id = "MINE-1"
libos = "gramine"
since = "1.8"
title = "found yesterday"
source = "a letter"
"""


def ids(libos: str, version: str, *files: Path) -> set[str]:
    return {flaw.id for flaw in known_flaws(libos, version, files)}


def test_the_list_of_the_package_is_well_formed() -> None:
    flaws = read_flaws(LIST)
    assert {flaw.libos for flaw in flaws} == {"builtin", "gramine", "occlum"}
    assert len({flaw.id for flaw in flaws}) == len(flaws)
    for flaw in flaws:
        assert flaw.fixed
        assert version_key(flaw.since) < version_key(flaw.fixed)


@pytest.mark.parametrize(
    ("libos", "version", "found"),
    [
        ("gramine", "1.9", set()),
        ("gramine", "1.6.2", set()),
        ("gramine", "1.6.1", {"gramine-trusted-files-fork"}),
        ("gramine", "1.6", {"gramine-trusted-files-fork"}),
        ("gramine", "1.5post", {"gramine-trusted-files-fork", "CVE-2024-25371"}),
        ("occlum", "0.31.0", set()),
        ("occlum", "0.29.3", {"occlum-dcap-nonce"}),
        ("occlum", "0.24.0", {"occlum-dcap-nonce", "CVE-2021-44421", "CVE-2021-0186"}),
        ("builtin", "0.1.0", {"builtin-smashex"}),
        ("builtin", __version__, set()),
    ],
)
def test_a_release_has_the_flaws_that_later_ones_mend(libos: str, version: str, found: set[str]) -> None:
    assert ids(libos, version) == found


@pytest.mark.parametrize("version", ["", "unknown", "post"])
def test_what_is_no_version_has_every_flaw(version: str) -> None:
    assert ids("gramine", version) == {flaw.id for flaw in read_flaws(LIST) if flaw.libos == "gramine"}


def test_a_file_extends_the_list(tmp_path: Path) -> None:
    file = tmp_path / "flaws.toml"
    file.write_text(MINE)
    assert ids("gramine", "1.9", file) == {"MINE-1"}
    assert ids("gramine", "1.7", file) == set()
    assert ids("occlum", "0.31.0", file) == set()
    (flaw,) = known_flaws("gramine", "1.9", [file])
    assert str(flaw) == "MINE-1 (found yesterday; no release is without it)"
    file.write_text(MINE + 'fixed = "1.9.1"\n')
    (flaw,) = known_flaws("gramine", "1.9", [file])
    assert str(flaw) == "MINE-1 (found yesterday; fixed in 1.9.1)"
    assert ids("gramine", "1.9.1", file) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no list of flaws"),
        ("flaw = 1", "is no list of flaws"),
        ("[[flaw]]\n[other]", "is no list of flaws"),
        ("flaw = [1]", "flaw 1 is not a table of strings"),
        (MINE + "fixed = 1.9", "flaw 1 is not a table of strings"),
        (MINE + 'fixed = "soon"', "flaw 1: fixed 'soon' is no version"),
        (MINE + MINE.replace("gramine", "scone"), "flaw 2: 'scone' is no LibOS"),
        (MINE + 'severity = "high"', "flaw 1: 'severity' is unknown"),
        (MINE.replace('title = "found yesterday"', 'title = ""'), "flaw 1 has no title"),
        ("[[flaw", "Expected"),
        ("a = " + "[" * 100_000, "flaws.toml: "),
        ("#" * (1 << 21), "at most 1048576 bytes"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "flaws.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"flaws\.toml") as caught:
        read_flaws(file)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the list of flaws"):
        known_flaws("gramine", "1.9", [tmp_path / "none"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="binary"):
        known_flaws("gramine", "1.9", [tmp_path / "binary"])
