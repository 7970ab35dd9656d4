"""Each rule finds what it is for."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from enclavize.compat.profile import profile_for
from enclavize.compat.report import Report, Severity
from enclavize.compat.rules import Subject, check
from enclavize.errors import IncompatibleImageError
from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.tree import Rootfs

if TYPE_CHECKING:
    from enclavize.oci.image import Image

MUSL = "/lib/ld-musl-x86_64.so.1"
GLIBC = "/lib64/ld-linux-x86-64.so.2"


def elf(**facts: Any) -> ElfFacts:
    return ElfFacts(**{"bits": 64, "machine": 62, "type": 3, "pie": True, **facts})


def program(path: str, **more: Any) -> Entry:
    return Entry(path=path, type=FileType.REGULAR, mode=0o755, size=1, **more)


def folder(path: str) -> Entry:
    return Entry(path=path, type=FileType.DIRECTORY, mode=0o755)


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target)


LOADER = program("lib/ld-musl-x86_64.so.1", elf=elf(soname="libc.musl-x86_64.so.1"))
APP = program("bin/app", elf=elf(interpreter=MUSL, needed=("libfoo.so.1", "libc.musl-x86_64.so.1")))
FOO = program("usr/lib/libfoo.so.1", elf=elf(soname="libfoo.so.1", needed=("libc.so",)))
STATIC = program("bin/app", elf=elf(type=2, pie=False, static=True))
FOLDERS = tuple(map(folder, ("bin", "lib", "lib64", "usr", "usr/lib")))


def report(
    *entries: Entry, libos: str = "builtin", command: Sequence[str] = ("app",), cwd: str = "/", uid: int = 0
) -> Report:
    subject = Subject(
        rootfs=Rootfs((*FOLDERS, *entries), merkle_reader=lambda _entry: b""),
        arguments=tuple(command),
        working_directory=cwd,
        environment={"PATH": "/usr/bin:/bin"},
        uid=uid,
        gids=frozenset({uid}),
    )
    return check(subject, cast("Image", SimpleNamespace(name="image")), profile_for(libos))


def codes(found: Report) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity.value) for finding in found.findings]


def test_a_dynamic_musl_program_runs_everywhere() -> None:
    for libos in ("builtin", "occlum", "occlum@0.18.1", "gramine"):
        assert codes(report(APP, LOADER, FOO, libos=libos)) == []


def test_a_static_program_runs_in_builtin_only() -> None:
    assert codes(report(STATIC)) == []
    assert codes(report(STATIC, libos="occlum")) == [("OCC008", "error")]
    pie = replace(STATIC, elf=elf(static=True))
    assert codes(report(pie)) == []
    assert codes(report(pie, libos="occlum")) == [("OCC008", "error")]


def test_occlum_0_18_1_refuses_glibc_and_names_interpreter_and_file() -> None:
    glibc = program("bin/app", elf=elf(interpreter=GLIBC))
    loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    found = report(glibc, loader, libos="occlum@0.18.1")
    assert codes(found) == [("OCC006", "error")]
    assert "/bin/app" in found.errors[0].message
    assert GLIBC in found.errors[0].message
    with pytest.raises(IncompatibleImageError, match="OCC006") as caught:
        found.raise_errors()
    assert caught.value.exit_code == 3
    for libos in ("occlum@0.21.0", "occlum", "gramine", "builtin"):
        assert codes(report(glibc, loader, libos=libos)) == []


def test_a_missing_program_is_an_error() -> None:
    assert codes(report()) == [("OCC002", "error")]
    assert codes(report(STATIC, command=("/bin/other",))) == [("OCC002", "error")]
    assert codes(report(command=())) == [("OCC001", "error")]
    assert codes(report(STATIC, command=("",))) == [("OCC001", "error")]
    assert codes(report(command=("/bin",))) == [("OCC002", "error")]


def test_the_program_is_found_through_path_and_links() -> None:
    assert codes(report(STATIC, link("usr/bin", "../bin"))) == []
    assert codes(report(STATIC, link("run", "/bin/app"), command=("./run",))) == []
    assert codes(report(link("bin/app", "app"))) == [("OCC002", "error")]


def test_missing_interpreters_and_libraries_are_named() -> None:
    found = report(APP, FOO)
    assert codes(found) == [("OCC005", "error")]
    assert MUSL in found.errors[0].message
    found = report(APP, LOADER)
    assert codes(found) == [("OCC007", "error")]
    assert "libfoo.so.1" in found.errors[0].message


def test_run_paths_are_searched() -> None:
    app = program("bin/app", elf=elf(interpreter=MUSL, needed=("libfoo.so.1",), runpath="$ORIGIN/../opt"))
    assert codes(report(app, LOADER, folder("opt"), replace(FOO, path="opt/libfoo.so.1"))) == []


def test_other_machines_and_formats_are_refused() -> None:
    assert codes(report(replace(STATIC, elf=elf(machine=183, static=True)))) == [("OCC004", "error")]
    assert codes(report(replace(STATIC, elf=elf(bits=32, machine=3, static=True)))) == [("OCC004", "error")]
    assert codes(report(replace(STATIC, elf=None))) == [("OCC014", "error")]


def test_a_fixed_address_is_no_problem_for_builtin() -> None:
    fixed = replace(APP, elf=elf(interpreter=MUSL, type=2, pie=False))
    assert codes(report(fixed, LOADER)) == []
    assert codes(report(fixed, LOADER, libos="occlum")) == [("OCC009", "error")]


def test_scripts_lead_to_their_interpreters() -> None:
    script = program("bin/start", interpreter_line="/bin/app -x")
    outer = program("bin/outer", interpreter_line="/bin/start")
    assert codes(report(script, STATIC, command=("start",))) == []
    assert codes(report(script, command=("start",))) == [("OCC002", "error")]
    assert codes(report(outer, script, STATIC, command=("outer",))) == []
    assert ("OCC010", "error") in codes(
        report(outer, script, APP, LOADER, FOO, command=("outer",), libos="occlum")
    )
    loop = program("bin/loop", interpreter_line="/bin/loop")
    assert ("OCC010", "error") in codes(report(loop, command=("loop",)))


def test_permissions_are_looked_at() -> None:
    assert codes(report(replace(STATIC, mode=0o644), command=("/bin/app",))) == [("OCC003", "error")]
    assert codes(report(replace(STATIC, mode=0o4755))) == [("OCC011", "warning")]
    hidden = replace(STATIC, mode=0o711)
    assert codes(report(hidden)) == []
    assert codes(report(hidden, uid=7)) == [("OCC012", "warning")]


def test_the_working_directory_must_be_there() -> None:
    assert codes(report(STATIC, cwd="/srv")) == [("OCC013", "error")]
    assert codes(report(STATIC, cwd="/bin")) == []


def test_reports_have_a_text_and_a_json_form() -> None:
    found = report(APP, FOO)
    assert found.to_text().splitlines()[-1] == "builtin cannot run image"
    assert '"runs": false' in found.to_json()
    assert found.findings[0].severity is Severity.ERROR
