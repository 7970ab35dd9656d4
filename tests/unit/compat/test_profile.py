"""Profiles are data, and checked."""

from pathlib import Path

import pytest

from enclavize.compat.profile import Support, builtin_profiles, load_profile, profile_for
from enclavize.errors import UsageError
from enclavize.resources import data_dir

GOOD = (data_dir("libos_profiles") / "occlum-0.18.1.toml").read_text()


def test_the_profiles_of_the_package_are_well_formed() -> None:
    assert {(profile.libos, profile.version) for profile in builtin_profiles()} >= {
        ("builtin", "0.1.0"), ("occlum", "0.18.1"),
    }  # fmt: skip
    assert profile_for("occlum").libc.glibc is Support.NO
    with pytest.raises(UsageError, match="no profile"):
        profile_for("gramine")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('glibc = "no"', 'glibc = "never"', "line 20: libc.glibc is none of yes, untested, no"),
        ('glibc = "no"', "glibc = 1", "line 20: libc.glibc"),
        ('glibc = "no"\n', "", "line 17: libc.glibc is missing"),
        ("script_depth = 1", "script_depth = 99", "line 15: elf.script_depth"),
        ('version = "0.18.1"', 'version = ""', "line 5: profile.version is not text"),
        ("[elf]", "[elves]", "line 9: elves is unknown"),
        ('static = "no"', 'statik = "no"', "line 12: elf.statik is unknown"),
        ("[elf]", "[elf", "line 9"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_profile_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load_profile(tmp_path / "missing.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="binary"):
        load_profile(binary)
