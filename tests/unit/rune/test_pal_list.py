"""The list of a PAL and of what it needs: what it may say, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.mode import Mode
from enclavize.rune.pal_list import read_pal_list

if TYPE_CHECKING:
    from enclavize.rune.pal_list import PalList

DIGEST = "ab" * 32
GOOD = f"""
libos = "occlum"
version = "0.31.0"
mode = "hardware"
exit_status = "wait"
signals = ["TERM", "SIGKILL", "TERM"]
pal = "libocclum-pal.so"
loader = "ld-linux-x86-64.so.2"

[files]
"libocclum-pal.so" = {{ path = "/opt/occlum/build/lib/libocclum-pal.so.0.31.0", sha256 = "{DIGEST}" }}
"ld-linux-x86-64.so.2" = {{ sha256 = "{DIGEST}" }}
"""


def _read(text: str) -> PalList:
    return read_pal_list(text.encode(), Path("/etc/rune/pals/occlum.toml"))


def test_a_list() -> None:
    pal = _read(GOOD)
    assert (pal.libos, pal.version, pal.mode, pal.exit_status) == ("occlum", "0.31.0", Mode.HARDWARE, "wait")
    assert pal.signals == (9, 15)
    assert pal.files["libocclum-pal.so"].path == Path("/opt/occlum/build/lib/libocclum-pal.so.0.31.0")
    assert pal.files["ld-linux-x86-64.so.2"].path is None


def test_the_content_is_names_and_digests() -> None:
    pal = _read(GOOD)
    assert _read(GOOD.replace("/opt/occlum", "/srv")).content == pal.content
    assert (
        _read(
            GOOD.replace('"libocclum-pal.so" =', '"x.so" =').replace(
                'pal = "libocclum-pal.so"', 'pal = "x.so"'
            )
        ).content
        != pal.content
    )
    assert _read(GOOD.replace(DIGEST, "cd" * 32, 1)).content != pal.content


@pytest.mark.parametrize(
    ("path", "is_it"),
    [
        ("libocclum-pal.so", True), ("/anywhere/libocclum-pal.so", True),
        ("/opt/occlum/build/lib/libocclum-pal.so.0.31.0", True),
        ("libocclum-pal.so.0.30.0", False), ("/libocclum-pal.so/", False), ("ld-linux-x86-64.so.2", False),
    ],
)  # fmt: skip
def test_paths_are_names(path: str, is_it: bool) -> None:
    assert _read(GOOD).is_named(path) is is_it


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("libos =", "x = 1\nlibos =", "unknown key x"),
        ('version = "0.31.0"', "version = 31", "version must be text"),
        ('version = "0.31.0"', 'version = ""', "version must be text"),
        ('"hardware"', '"production"', "mode must be one of hardware, simulation"),
        ('"wait"', '"raw"', "exit_status must be one of code, wait"),
        ('"TERM"', '"TREM"', "TREM"),
        ('["TERM", "SIGKILL", "TERM"]', '"TERM"', "signals must be a list"),
        ('pal = "libocclum-pal.so"', 'pal = "other.so"', "pal must be one of"),
        ('loader = "ld-linux-x86-64.so.2"', 'loader = "/lib64/ld.so"', "loader must be one of"),
        ('"ld-linux-x86-64.so.2" = {', '"runelet" = {', "'runelet' is no name of a library"),
        ('"ld-linux-x86-64.so.2" = {', '"run" = {', "'run' is no name of a library"),
        ('"ld-linux-x86-64.so.2" = {', '"../ld.so" = {', "is no name of a library"),
        ('"ld-linux-x86-64.so.2" = {', '"a:b" = {', "is no name of a library"),
        ("/opt/occlum/", "opt/occlum/", "path must be absolute"),
        (DIGEST, DIGEST.upper(), "sha256 must be 64"),
        (DIGEST, "ab", "sha256 must be 64"),
        ("sha256", "md5", "must be a table such as"),
        ("[files]", "[files", "Expected"),
    ],
)
def test_what_is_wrong_is_told(old: str, new: str, reason: str) -> None:
    with pytest.raises(EnclavizeError) as caught:
        _read(GOOD.replace(old, new, 1))
    assert str(caught.value).startswith("/etc/rune/pals/occlum.toml: ")
    assert reason in str(caught.value)
