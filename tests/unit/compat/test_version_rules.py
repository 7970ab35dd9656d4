"""Versions of C libraries and of C++'s: what programs need, and what there is."""

from dataclasses import replace
from typing import Any

import pytest

from support.checked_image import APP, FOO, GLIBC, LOADER, MUSL, REPLACED, codes, elf, folder, program, report


@pytest.mark.parametrize(
    ("version", "libos", "expected"),
    [
        ("GLIBC_2.27", "occlum@0.21.0", []),
        ("GLIBC_2.31", "occlum@0.21.0", [("OCC016", "error")]),
        ("GLIBC_2.31", "occlum", []),
        ("GLIBC_2.34", "occlum@0.31.0", [("OCC016", "error")]),
        ("GLIBC_2.35", "occlum@0.31.0-ubuntu22.04", []),
        ("GLIBC_2.36", "occlum@0.31.0-ubuntu22.04", [("OCC016", "error")]),
        ("GLIBC_2.4", "occlum", []),
        ("GLIBC_2.34", "builtin", []),
        ("GLIBC_2.34", "gramine", []),
        ("GLIBC_2.2.5", "occlum@0.18.1", [("OCC006", "error")]),
    ],
)
def test_the_glibc_of_the_libos_must_be_new_enough(
    version: str, libos: str, expected: list[tuple[str, str]]
) -> None:
    glibc = program("bin/app", elf=elf(interpreter=GLIBC, needed=("libc.so.6",), versions=(version,)))
    loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    libc = program("lib64/libc.so.6", elf=elf(versions=("GLIBC_2.36",)))
    assert codes(report(glibc, loader, libc, libos=libos)) == expected


def test_the_musl_of_the_libos_must_be_new_enough() -> None:
    app = replace(APP, elf=elf(interpreter=MUSL, imports=("gettid",)))
    assert codes(report(app, LOADER, libos="occlum")) == [("OCC017", "error")]
    assert codes(report(app, LOADER)) == []


@pytest.mark.parametrize(
    ("needed", "libos", "expected"),
    [
        ("GLIBCXX_3.4.25", "occlum@0.21.0", []),
        ("GLIBCXX_3.4.26", "occlum@0.21.0", [("OCC027", "error")]),
        ("GLIBCXX_3.4.28", "occlum", []),
        ("CXXABI_1.3.13", "occlum@0.31.0", [("OCC027", "error")]),
        ("CXXABI_1.3.13", "occlum@0.31.0-ubuntu22.04", []),
        ("GLIBCXX_3.4.31", "occlum@0.31.0-ubuntu22.04", [("OCC027", "error")]),
        ("GCC_12.0.0", "occlum@0.31.0", [("OCC027", "error")]),
        ("GCC_12.0.0", "occlum@0.31.0-ubuntu22.04", []),
        ("GLIBCXX_3.4.30", "builtin", []),
        ("GLIBCXX_3.4.31", "builtin", [("OCC028", "error")]),
        ("GLIBC_2.34", "builtin", []),
        ("GLIBC_2.38", "gramine", []),
        ("GLIBC_2.41", "gramine", [("OCC016", "error")]),
        ("GLIBC_2.38", "occlum", [("OCC016", "error")]),
        ("CXXABI_1.3.99", "builtin", []),
    ],
)
def test_versions_are_compared_with_the_libraries_that_are_used(
    needed: str, libos: str, expected: list[tuple[str, str]]
) -> None:
    libraries = ("libstdc++.so.6", "libc.so.6")
    app = program("bin/app", elf=elf(interpreter=GLIBC, needed=libraries, versions=(needed,)))
    loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    standard = program("lib64/libstdc++.so.6", elf=elf(defines=("GLIBCXX_3.4.30",)))
    libc = program("lib64/libc.so.6", elf=elf(defines=("GLIBC_2.36",)))
    found = report(app, loader, standard, libc, libos=libos)
    assert codes(found) == expected
    assert all(needed in finding.message for finding in found.without([REPLACED]).findings)


@pytest.mark.parametrize(
    ("needed", "libos", "cure"),
    [
        ("GLIBC_2.36", "occlum@0.31.0-ubuntu22.04", "Ubuntu 22.04 has GLIBC_2.35"),
        ("GLIBC_2.36", "occlum@0.31.0", "Debian 11 has GLIBC_2.31"),
        ("GLIBC_2.36", "occlum@0.21.0", "Ubuntu 18.04 has GLIBC_2.27"),
        ("GLIBC_2.41", "gramine", "Ubuntu 24.04 has GLIBC_2.39"),
        ("GLIBCXX_3.4.31", "occlum@0.31.0-ubuntu22.04", "GCC 12 has GLIBCXX_3.4.30"),
        ("CXXABI_1.3.13", "occlum@0.21.0", "GCC 8 has GLIBCXX_3.4.25"),
    ],
)
def test_the_cure_is_one_that_the_libos_can_run(needed: str, libos: str, cure: str) -> None:
    app = program("bin/app", elf=elf(interpreter=GLIBC, needed=("libc.so.6",), versions=(needed,)))
    loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    found = report(app, loader, program("lib64/libc.so.6", elf=elf()), libos=libos)
    (error,) = found.errors
    assert error.remedy.endswith(cure)


@pytest.mark.parametrize(
    ("interpreter", "paths", "expected"),
    [
        (GLIBC, {"rpath": "$ORIGIN/../opt"}, []),
        (GLIBC, {"runpath": "$ORIGIN/../opt"}, [("OCC027", "error")]),
        (MUSL, {"runpath": "$ORIGIN/../opt"}, []),
        (MUSL, {}, [("OCC027", "error")]),
    ],
)
def test_a_library_that_a_program_brings_comes_before_the_one_of_the_libos(
    interpreter: str, paths: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    facts = elf(interpreter=interpreter, needed=("libstdc++.so.6",), versions=("GLIBCXX_3.4.30",), **paths)
    standard = program("opt/libstdc++.so.6", elf=elf(defines=("GLIBCXX_3.4.30",)))
    found = report(program("bin/app", elf=facts), LOADER, folder("opt"), standard, libos="occlum@0.31.0")
    assert codes(found) == expected


def test_occlum_has_a_cpp_library_for_musl_programs_too() -> None:
    app = replace(APP, elf=elf(interpreter=MUSL, versions=("GLIBCXX_3.4.26",)))
    assert codes(report(app, LOADER, libos="occlum")) == [("OCC027", "error")]
    assert codes(report(app, LOADER)) == []


def test_what_the_libos_has_itself_need_not_be_in_the_image() -> None:
    glibc = program("bin/app", elf=elf(interpreter=GLIBC, needed=("libc.so.6", "libm.so.6")))
    assert codes(report(glibc, libos="occlum")) == []
    assert [code for code, _ in codes(report(glibc))] == ["OCC005", "OCC007", "OCC007"]


def test_two_c_libraries_in_one_program_are_told() -> None:
    foreign = replace(FOO, elf=elf(needed=("libc.so.6",), versions=("GLIBC_2.2.5",)))
    app = replace(APP, elf=elf(interpreter=MUSL, needed=("libfoo.so.1",)))
    found = report(app, LOADER, foreign)
    assert codes(found) == [("OCC007", "error"), ("OCC018", "warning")]
    glibc = program("bin/app", elf=elf(interpreter=GLIBC, needed=("libfoo.so.1",)))
    loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    foreign = replace(FOO, elf=elf(needed=("libc.musl-x86_64.so.1",)))
    assert ("OCC018", "warning") in codes(report(glibc, loader, foreign))


@pytest.mark.parametrize(
    ("facts", "profiles"),
    [
        ({"interpreter": GLIBC, "versions": ("GLIBC_2.29",)}, ["occlum@0.18.1", "occlum@0.21.0"]),
        ({"needed": ("libc.so.6",), "versions": ("GLIBC_2.2.5",)}, ["occlum@0.18.1"]),
        ({"needed": ("libc.so.6",), "versions": ("GLIBCXX_3.4.31",)},
         ["occlum@0.18.1", "occlum@0.21.0", "occlum"]),
        ({"interpreter": MUSL, "imports": ("statx",)}, ["occlum@0.18.1", "occlum@0.21.0", "occlum"]),
        ({"interpreter": MUSL, "relative_relocations": True}, ["occlum@0.18.1", "occlum@0.21.0", "occlum"]),
        ({"interpreter": MUSL, "type": 2, "pie": False}, ["occlum@0.18.1", "occlum@0.21.0", "occlum"]),
        ({"interpreter": MUSL}, []),
    ],
)  # fmt: skip
def test_other_files_are_judged_by_their_versions_too(facts: dict[str, Any], profiles: list[str]) -> None:
    other = program("usr/lib/other", elf=elf(**facts))
    failing = [
        libos
        for libos in ("occlum@0.18.1", "occlum@0.21.0", "occlum", "gramine", "builtin")
        if ("OCC031", "note") in codes(report(APP, LOADER, FOO, other, libos=libos))
    ]
    assert failing == profiles
