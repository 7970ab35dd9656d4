"""Each rule finds what it is for: the program, its loader, and the way to it."""

from dataclasses import replace

import pytest

from enclavize.errors import IncompatibleImageError
from support.checked_image import (
    APP,
    FOO,
    GLIBC,
    LOADER,
    MUSL,
    STATIC,
    codes,
    elf,
    folder,
    link,
    program,
    report,
)


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


def test_other_machines_and_formats_are_refused() -> None:
    assert codes(report(replace(STATIC, elf=elf(machine=183, static=True)))) == [("OCC004", "error")]
    assert codes(report(replace(STATIC, elf=elf(bits=32, machine=3, static=True)))) == [("OCC004", "error")]
    assert codes(report(replace(STATIC, elf=None))) == [("OCC014", "error")]


def test_a_fixed_address_is_no_problem_for_builtin() -> None:
    fixed = replace(APP, elf=elf(interpreter=MUSL, type=2, pie=False))
    assert codes(report(fixed, LOADER)) == []
    assert codes(report(fixed, LOADER, libos="occlum")) == [("OCC009", "error")]


def test_scripts_lead_to_their_interpreters() -> None:
    script = program("bin/start", interpreter_line="/bin/app")
    outer = program("bin/outer", interpreter_line="/bin/start")
    assert codes(report(script, STATIC, command=("start",))) == []
    assert codes(report(script, command=("start",))) == [("OCC002", "error")]
    assert codes(report(outer, script, STATIC, command=("outer",))) == []
    windows = program("bin/start", interpreter_line="/bin/app\r")
    assert codes(report(windows, STATIC, command=("start",))) == [("OCC002", "error")]
    loop = program("bin/loop", interpreter_line="/bin/loop")
    assert ("OCC010", "error") in codes(report(loop, command=("loop",)))


def test_env_in_a_first_line_leads_to_the_program_and_needs_execve() -> None:
    env = program("bin/env", elf=elf(type=2, pie=False, static=True))
    python = program("bin/python3", elf=elf(interpreter=MUSL, type=2, pie=False))
    for line in ("/bin/env python3", "/bin/env -S A=1 python3 -u", "/bin/env --split-string=python3"):
        script = program("bin/start", interpreter_line=line)
        found = report(script, env, python, LOADER, command=("start",), libos="gramine")
        assert codes(found) == [("OCC030", "note")]
        assert "/bin/python3 is cpython" in found.findings[0].message
        found = report(script, env, python, LOADER, command=("start",), libos="occlum@0.21.0")
        assert ("OCC041", "error") in codes(found)
        found = report(script, env, python, LOADER, command=("start",))
        assert codes(found) == [("OCC030", "note")]
    script = program("bin/start", interpreter_line="/bin/env python3")
    assert codes(report(script, env, command=("start",), libos="gramine")) == [("OCC002", "error")]
    bare = program("bin/start", interpreter_line="/bin/env")
    assert codes(report(bare, env, command=("start",))) == []
    loop = program("bin/start", interpreter_line="/bin/env start")
    assert ("OCC010", "error") in codes(report(loop, env, command=("start",)))


def test_the_working_directory_is_a_folder_if_it_is_there() -> None:
    assert codes(report(STATIC, cwd="/srv")) == []
    assert codes(report(STATIC, program("srv"), cwd="/srv")) == [("OCC013", "error")]
    for target, found in (("no/where", [("OCC013", "error")]), ("way", [("OCC013", "error")]), ("made", [])):
        assert codes(report(STATIC, link("way", target), cwd="/way")) == found
        assert codes(report(STATIC, link("way", target), cwd="/way/in")) == found
    assert codes(report(STATIC, cwd="/srv", libos="gramine")) == []
    assert ("OCC013", "warning") in codes(report(APP, LOADER, FOO, cwd="/srv", libos="occlum"))
    assert ("OCC013", "warning") in codes(report(APP, LOADER, FOO, folder("srv"), cwd="/srv", libos="occlum"))
    assert codes(report(STATIC, cwd="/bin")) == []


@pytest.mark.parametrize("libos", ["builtin", "gramine"])
def test_a_working_directory_that_the_user_may_not_enter_is_told_of(libos: str) -> None:
    closed = replace(folder("srv"), mode=0o700)
    inside = (closed, folder("srv/data"), link("way", "srv/data"))
    for entries, path in (((closed,), "/srv"), (inside, "/srv/data"), (inside, "/way")):
        for uid, expected in ((0, []), (7, [("OCC013", "warning")])):
            found = report(STATIC, *entries, cwd=path, uid=uid, libos=libos)
            assert codes(found) == expected
            assert not expected or "user 7 may not enter /srv:" in found.findings[0].message


def test_first_lines_that_occlum_does_not_read_are_read_by_a_build() -> None:
    tini, env = (replace(APP, path=f"bin/{name}") for name in ("tini", "env"))
    script = program("bin/start", interpreter_line="/bin/app -x")
    outer = program("bin/outer", interpreter_line="/bin/start")
    files = (script, outer, APP, LOADER, FOO, tini, env)
    assert codes(report(*files, command=("start",), libos="occlum")) == [("OCC015", "warning")]
    assert codes(report(*files, command=("start",), libos="occlum@0.18.1")) == [("OCC015", "error")]
    assert codes(report(*files, command=("start",), libos="gramine")) == []
    both = [("OCC010", "warning"), ("OCC015", "warning")]
    assert codes(report(*files, command=("outer",), libos="occlum")) == both
    loop = program("bin/loop", interpreter_line="/bin/loop")
    assert ("OCC010", "error") in codes(report(loop, command=("loop",), libos="occlum"))
    # Who comes later is read by Occlum.
    assert ("OCC015", "error") in codes(report(*files, command=("tini", "--", "start"), libos="occlum"))
    by_env = program("bin/start", interpreter_line="/bin/env inner")
    inner = replace(script, path="bin/inner")
    later = report(by_env, inner, *files[2:], command=("start",), libos="occlum")
    found = [(finding.severity.value, finding.path) for finding in later.findings if finding.code == "OCC015"]
    assert sorted(found) == [("error", "bin/inner"), ("warning", "bin/start")]


def test_first_lines_must_end_in_what_occlum_has_read_of_a_script() -> None:
    def verdict(length: int, libos: str, *, size: int = 100, behind: str = "") -> list[str]:
        app = replace(APP, path="/bin/app".rjust(length, "a").lstrip("/") if length > 8 else "bin/app")
        script = replace(program("bin/start", interpreter_line=f"/{app.path}"), size=size)
        command = ("env", "start") if behind else ("start",)
        files = (script, app, LOADER, FOO, replace(APP, path="bin/env"))
        found = report(*files, command=command, libos=libos).findings
        return [finding.severity.value for finding in found if finding.code == "OCC015"]

    assert verdict(60, "occlum") == []  # 64 bytes with #!, slash and newline
    assert verdict(61, "occlum") == ["warning"]
    assert verdict(61, "occlum", behind="env") == ["error"]
    assert verdict(61, "gramine") == verdict(61, "builtin") == []
    assert verdict(8, "occlum@0.24.0", size=63) == ["warning"]
    assert verdict(8, "occlum@0.24.0", size=63, behind="env") == ["error"]
    assert verdict(8, "occlum@0.24.0", size=64) == verdict(8, "occlum", size=11) == []


def test_a_library_is_no_program_but_a_loader_is() -> None:
    library = replace(STATIC, elf=elf(pie=False, needed=("libc.so",)))
    assert codes(report(library)) == [("OCC014", "error")]
    loader = replace(STATIC, elf=elf(pie=False))
    assert codes(report(loader)) == []
    assert codes(report(loader, libos="occlum")) == [("OCC008", "error")]
