"""Profiles are data, and checked."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from enclavize import __version__
from enclavize.compat.profile import Support, builtin_profiles, load_profile, profile_for
from enclavize.compat.syscalls import NUMBERS
from enclavize.errors import UsageError
from enclavize.resources import data_dir
from support.programs import REPOSITORY

LIBOS = REPOSITORY / "native" / "libos"
LINUX_NUMBERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
GOOD = (data_dir("libos_profiles") / "occlum-0.18.1.toml").read_text()


def test_the_profiles_of_the_package_are_well_formed() -> None:
    assert [f"{profile.libos} {profile.version}" for profile in builtin_profiles()] == [
        "builtin 0.2.0", "gramine 1.8", "gramine 1.9", "occlum 0.18.1", "occlum 0.21.0", "occlum 0.24.0",
        "occlum 0.29.7", "occlum 0.30.1", "occlum 0.31.0", "occlum 0.31.0-ubuntu22.04",
    ]  # fmt: skip
    for profile in builtin_profiles():
        assert profile in builtin_profiles(profile.libos), "a file is named after its LibOS"
        calls = profile.syscalls
        assert calls.implemented
        assert not calls.implemented & calls.partial
        assert not calls.refused & (calls.implemented | calls.partial)
        assert profile.libc.own == bool(profile.files.own)
        assert profile.libc.own == any(profile.libc.musl_version)


def test_a_name_alone_means_the_newest_version() -> None:
    assert profile_for("occlum").version == "0.31.0-ubuntu22.04"
    assert profile_for("occlum@0.18.1").libc.glibc is Support.NO
    for unknown in ("scone", "occlum@9"):
        with pytest.raises(UsageError, match="no profile"):
            profile_for(unknown)


def test_an_installed_version_means_the_newest_profile_that_is_not_newer() -> None:
    assert profile_for("occlum", version="0.31.0").version == "0.31.0"
    assert profile_for("occlum", version="0.30.0").version == "0.29.7"
    assert profile_for("occlum", version="0.26.4-rt").title == "Occlum 0.24.0"
    assert profile_for("occlum", version="1.0").version == "0.31.0-ubuntu22.04"
    assert profile_for("occlum", version="0.31").version == "0.31.0"
    assert profile_for("occlum@0.21.0", version="0.31.0").version == "0.21.0"
    with pytest.raises(UsageError, match=r"no profile for the LibOS occlum 0\.9"):
        profile_for("occlum", version="0.9")


def test_a_users_profile_comes_first() -> None:
    mine = replace(profile_for("occlum@0.18.1"), version="0.18.1-mine")
    assert profile_for("occlum", [mine]) is mine
    assert profile_for("occlum@0.18.1", [mine]).version == "0.18.1"


def test_absent_calls_give_what_the_libos_gives() -> None:
    calls = profile_for("occlum").syscalls
    assert not calls.serves("fork")
    assert calls.errno_of("fork") == "ENOSYS"
    assert calls.errno_of("clone3") == "EINVAL"
    assert profile_for("builtin").syscalls.errno_of("clone3") == "ENOSYS"


def test_the_builtin_profile_has_the_rows_of_the_libos_table() -> None:
    calls = profile_for("builtin").syscalls
    rows = set().union(*(_rows(table) for table in LIBOS.glob("*/calls.def")))
    assert calls.implemented | calls.partial | calls.refused == rows
    assert not rows & _rows(LIBOS / "syscall" / "missing_calls.def")


def test_the_builtin_profile_is_that_of_this_version() -> None:
    assert profile_for("builtin").version == __version__
    assert profile_for("builtin", version=__version__) == profile_for("builtin")


def test_the_builtin_profile_follows_as_many_scripts_as_the_libos() -> None:
    text = (LIBOS / "process" / "program_file.c").read_text()
    depth = re.search(r"#define SCRIPT_DEPTH_MAX (\d+)", text)
    assert depth is not None
    assert profile_for("builtin").elf.script_depth == int(depth[1])


def test_numbers_of_calls_are_those_of_linux() -> None:
    if not LINUX_NUMBERS.is_file():
        pytest.skip("the kernel's headers (linux-libc-dev) are not installed")
    found = re.findall(r"#define __NR_(\w+) (\d+)", LINUX_NUMBERS.read_text())
    linux = {name: int(number) for name, number in found}
    assert {name: linux.get(name, number) for name, number in NUMBERS.items()} == NUMBERS


def _rows(table: Path) -> set[str]:
    """Return the names of the calls in a part of the LibOS's table."""
    return set(re.findall(r"^CALL\(\d+, (\w+),", table.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('glibc = "no"', 'glibc = "never"', "line 24: libc.glibc is none of yes, partial, untested, no"),
        ('glibc = "no"', "glibc = 1", "line 24: libc.glibc"),
        ('glibc = "no"\n', "", "line 20: libc.glibc is missing"),
        ("own = true", 'own = "true"', "line 26: libc.own is neither true nor false"),
        ('"1.1.24"', '"new"', "line 27: libc.musl_version is no version"),
        ("script_depth = 1", "script_depth = 99", "line 15: elf.script_depth"),
        ('version = "0.18.1"', 'version = ""', "line 5: profile.version is not text"),
        ("[elf]", "[elves]", "line 8: elves is unknown"),
        ('static = "no"', 'statik = "no"', "line 12: elf.statik is unknown"),
        ('"clone",', '"clown",', "line 95: syscalls.partial has 'clown', which is no system call of x86-64"),
        ("refused = []", "refused = [[]]", "line 99: syscalls.refused has []"),
        ("refused = []", "refused = 3", "line 99: syscalls.refused is not a list"),
        ("[elf]\nsource", "[elf]\nsauce", "line 9: elf.sauce is unknown"),
        ("[elf]", "[elf", "line 8"),
        ('"host", "tmp"', '"/host"', "line 61: files.hidden has '/host', which is no path"),
        ('"host", "tmp"', '"a/../b"', "line 61: files.hidden has 'a/../b', which is no path"),
        ('"CXXABI_1.3.11"', '"CXXABI_new"', "line 29: libc.musl_symbols has 'CXXABI_new', which is no"),
        ('"CXXABI_1.3.11"', "1", "line 29: libc.musl_symbols has 1, which is no symbol version"),
        ("own = true", "own = 1", "line 26: libc.own is neither"),
        ("# Occlum 0.18.1", "elves = 1\n# ", "line 1: elves is unknown"),
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


def test_no_advice_speaks_of_processes_that_are_missing_where_there_are_some() -> None:
    for profile in builtin_profiles():
        if profile.process.fork is profile.process.spawn is Support.YES:
            names = ("go", "jvm", "cpython", "node", "dotnet", "erlang", "rust")
            advice = [profile.runtimes.of(name) for name in names]
            assert not re.search("no child|there is one|nothing to stand on", " ".join(advice)), advice


def test_a_profile_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load_profile(tmp_path / "missing.toml")
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + "[" * 100_000)
    with pytest.raises(UsageError, match=r"deep\.toml"):
        load_profile(deep)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="binary"):
        load_profile(binary)
