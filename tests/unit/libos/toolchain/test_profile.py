"""A toolchain's profile has the versions that its own C libraries define."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.compat.profile import Support, profile_for
from enclavize.libos.toolchain import open_toolchain
from enclavize.libos.toolchain_profile import profile_of
from enclavize.progress import Reporter
from support.stand_in_toolchain import versioned_library

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.compat.profile import Profile
    from enclavize.oci.cache import BlobCache


def opened(folder: Path, cache: BlobCache, *extra: Profile) -> Profile:
    return profile_of(open_toolchain(str(folder), libos=None, cache=cache, reporter=Reporter()), extra)


def test_what_libraries_define_counts(occlum_copy: Path, cache: BlobCache, tmp_path: Path) -> None:
    written = opened(occlum_copy, cache)
    assert written == profile_for("occlum@0.29.7"), "libraries without versions change nothing"
    folder = occlum_copy / "glibc" / "lib"
    versioned_library(tmp_path, folder / "libc.so.6", "GLIBC_2.99")
    versioned_library(tmp_path, folder / "libstdc++.so.6", "GLIBCXX_3.4.99")
    musl = occlum_copy / "toolchains" / "gcc" / "x86_64-linux-musl" / "lib"
    versioned_library(tmp_path, musl / "libgcc_s.so.1", "GCC_9.0.0")
    found = opened(occlum_copy, cache)
    assert found.libc.glibc_symbols == {"GLIBC": (2, 99), "GLIBCXX": (3, 4, 99)}
    assert found.libc.musl_symbols == {"GCC": (9, 0, 0)}
    assert replace(found, libc=written.libc) == written


def test_what_is_damaged_changes_nothing(occlum_copy: Path, cache: BlobCache) -> None:
    for content in (b"", b"text", (occlum_copy / "glibc" / "lib" / "libc.so.6").read_bytes()[:200]):
        (occlum_copy / "glibc" / "lib" / "libc.so.6").write_bytes(content)
        assert opened(occlum_copy, cache) == profile_for("occlum@0.29.7")


def test_without_glibc_its_programs_do_not_run(occlum_copy: Path, cache: BlobCache) -> None:
    shutil.rmtree(occlum_copy / "glibc")
    found = opened(occlum_copy, cache)
    assert found.title == "Occlum 0.29.7 without glibc"
    assert found.libc.glibc is Support.NO
    assert found.libc.musl is Support.YES


def test_gramine_takes_the_images_own_where_its_is_older(gramine_stand_in: Path, cache: BlobCache) -> None:
    assert opened(gramine_stand_in, cache) == profile_for("gramine@1.9")


def test_a_users_profile_comes_first(occlum_stand_in: Path, cache: BlobCache) -> None:
    mine = replace(profile_for("occlum@0.18.1"), title="mine")
    assert opened(occlum_stand_in, cache, mine) == mine
