"""What Gramine starts is what the kernel would start, with the C library that it is made for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from enclavize.errors import IncompatibleImageError
from enclavize.libos.gramine.program import Libc, find_entry_point, library_path
from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.tree import Rootfs

GLIBC = "/lib64/ld-linux-x86-64.so.2"
MUSL = "/lib/ld-musl-x86_64.so.1"
ENVIRONMENT = {"PATH": "/usr/local/bin:/bin"}


def elf(interpreter: str = "", **facts: Any) -> ElfFacts:
    return ElfFacts(bits=64, machine=62, type=3, interpreter=interpreter, **facts)


def program(path: str, facts: ElfFacts | None = None, line: str = "") -> Entry:
    return Entry(path=path, type=FileType.REGULAR, mode=0o755, elf=facts, interpreter_line=line)


def folder(path: str) -> Entry:
    return Entry(path=path, type=FileType.DIRECTORY, mode=0o755)


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target)


ROOTFS = Rootfs(
    (
        *map(
            folder,
            ("app", "usr", "usr/bin", "usr/local", "usr/local/bin", "usr/lib", "lib64", "opt", "opt/lib"),
        ),
        link("bin", "usr/bin"),
        link("lib", "usr/lib"),
        program("lib64/ld-linux-x86-64.so.2", elf()),
        program("usr/lib/ld-musl-x86_64.so.1", elf()),
        program(
            "usr/lib/libc.so.6",
            elf(soname="libc.so.6", defines=("GLIBC_2.36",)),
        ),
        program(
            "usr/bin/python3.11",
            elf(GLIBC, needed=("libc.so.6",), versions=("GLIBC_2.34",), runpath="$ORIGIN/../../opt/lib"),
        ),
        link("usr/bin/python3", "python3.11"),
        program("usr/bin/env", elf(GLIBC)),
        program("app/musl", elf(MUSL)),
        program("app/static", elf(static=True)),
        program("app/odd", elf("/lib/ld-uClibc.so.0")),
        program("usr/lib/ld-uClibc.so.0", elf()),
        program("app/lost", elf("/lib/ld-lost.so")),
        program("app/script", line="/usr/bin/python3 -u"),
        program("usr/local/bin/tool", line="/bin/python3"),
        program("app/text"),
    ),
    merkle_reader=lambda _entry: b"",
)


def test_a_program_is_started_by_its_own_path() -> None:
    found = find_entry_point(ROOTFS, "python3", "/", ENVIRONMENT)
    assert found.path == "/usr/bin/python3.11"
    assert found.libc is Libc.GLIBC
    assert found.glibc == (2, 36)


@pytest.mark.parametrize(
    ("command", "directory", "path"),
    [
        ("./script", "/app", "/app/script"),
        ("/app/script", "/", "/app/script"),
        ("tool", "/", "/usr/local/bin/tool"),
    ],
)
def test_a_script_is_started_by_the_path_that_it_is_found_by(command: str, directory: str, path: str) -> None:
    found = find_entry_point(ROOTFS, command, directory, ENVIRONMENT)
    assert (found.path, found.libc) == (path, Libc.GLIBC)


def test_the_library_path_is_the_images_with_gramines_folder_before_it() -> None:
    found = find_entry_point(ROOTFS, "python3", "/", ENVIRONMENT)
    assert library_path(found, "", own_libc=False) == ""
    assert library_path(found, "/x:", own_libc=False) == "/.enclave/gramine/runtime/glibc:/x:"


def test_the_images_own_loader_is_found_where_gramine_looks() -> None:
    found = find_entry_point(ROOTFS, "python3", "/", ENVIRONMENT)
    assert library_path(found, "", own_libc=True) == ""
    assert library_path(found, "/x", own_libc=True) == "/x:/lib64"
    elsewhere = replace(found, interpreter="/opt/glibc/ld-linux-x86-64.so.2")
    assert library_path(elsewhere, "", own_libc=True) == "/opt/glibc"


def test_static_programs_have_the_library_that_their_children_need() -> None:
    assert find_entry_point(ROOTFS, "/app/musl", "/", ENVIRONMENT).libc is Libc.MUSL
    static = find_entry_point(ROOTFS, "/app/static", "/", ENVIRONMENT)
    assert (static.libc, static.glibc) == (Libc.GLIBC, (2, 36))
    alone = Rootfs((folder("app"), program("app/static", elf(static=True))), merkle_reader=lambda _entry: b"")
    static = find_entry_point(alone, "/app/static", "/", ENVIRONMENT)
    assert (static.libc, library_path(static, "/mine", own_libc=True)) == (Libc.NONE, "/mine")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nothing", "nothing, which the image starts, is not in the image"),
        ("/app/lost", r"/lib/ld-lost\.so, which /app/lost starts"),
        ("/app/odd", "neither glibc's loader nor musl's"),
        ("/app/text", "neither an ELF program nor a script"),
    ],
)
def test_what_cannot_be_started_is_refused(command: str, message: str) -> None:
    with pytest.raises(IncompatibleImageError, match=message):
        find_entry_point(ROOTFS, command, "/", ENVIRONMENT)
