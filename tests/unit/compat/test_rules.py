"""Each rule finds what it is for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from enclavize.compat.codes import CODES, explain, list_codes
from enclavize.compat.profile import Profile, builtin_profiles, profile_for
from enclavize.compat.report import Report, Silence
from enclavize.compat.rules import check
from enclavize.compat.sizes import NEEDS
from enclavize.compat.subject import Subject
from enclavize.errors import IncompatibleImageError, UsageError
from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.tree import Rootfs
from support.programs import REPOSITORY

if TYPE_CHECKING:
    from enclavize.oci.image import Image

RULES = sorted((REPOSITORY / "enclavize" / "compat").glob("*rules.py"))

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
    *entries: Entry,
    libos: str = "builtin",
    profile: Profile | None = None,
    command: Sequence[str] = ("app",),
    cwd: str = "/",
    uid: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Report:
    subject = Subject(
        rootfs=Rootfs((*FOLDERS, *entries), merkle_reader=lambda _entry: b""),
        arguments=tuple(command),
        working_directory=cwd,
        environment={"PATH": "/usr/bin:/bin", **(environment or {})},
        uid=uid,
        gids=frozenset({uid}),
    )
    return check(subject, cast("Image", SimpleNamespace(name="image")), profile or profile_for(libos))


REPLACED = Silence(code="OCC035")
"""Files that the LibOS replaces: loaders and C libraries always are."""


def codes(found: Report) -> list[tuple[str, str]]:
    findings = found.without([REPLACED]).findings
    return [(finding.code, finding.severity.value) for finding in findings]


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
    script = program("bin/start", interpreter_line="/bin/app")
    outer = program("bin/outer", interpreter_line="/bin/start")
    assert codes(report(script, STATIC, command=("start",))) == []
    assert codes(report(script, command=("start",))) == [("OCC002", "error")]
    assert codes(report(outer, script, STATIC, command=("outer",))) == []
    assert ("OCC010", "error") in codes(
        report(outer, script, APP, LOADER, FOO, command=("outer",), libos="occlum")
    )
    windows = program("bin/start", interpreter_line="/bin/app\r")
    assert codes(report(windows, STATIC, command=("start",))) == [("OCC002", "error")]
    loop = program("bin/loop", interpreter_line="/bin/loop")
    assert ("OCC010", "error") in codes(report(loop, command=("loop",)))


def test_permissions_are_looked_at() -> None:
    assert codes(report(replace(STATIC, mode=0o644), command=("/bin/app",))) == [("OCC003", "error")]
    assert codes(report(replace(STATIC, mode=0o4755))) == [("OCC011", "warning")]
    hidden = replace(STATIC, mode=0o711)
    assert codes(report(hidden)) == []
    assert codes(report(hidden, uid=7)) == [("OCC012", "warning")]


def test_folders_are_looked_at_for_permissions_too() -> None:
    secret = replace(folder("bin"), mode=0o700)
    other = program("bin/other")
    assert codes(report(secret, STATIC, other, uid=7)) == [("OCC012", "warning"), ("OCC012", "note")]
    assert codes(report(replace(secret, uid=7), STATIC, other, uid=7)) == []
    assert codes(report(replace(secret, mode=0o710, gid=7), STATIC, other, uid=7)) == []
    shadow = replace(program("lib/shadow"), mode=0o640)
    found = report(STATIC, shadow, uid=7)
    assert codes(found) == [("OCC012", "note")]
    assert "/lib/shadow" in found.findings[0].message
    assert codes(report(STATIC, shadow)) == []


def test_where_everybody_is_root_all_files_can_be_read() -> None:
    found = report(APP, LOADER, FOO, replace(program("lib/shadow"), mode=0o600), libos="occlum", uid=7)
    assert codes(found) == [("OCC037", "note")]
    assert "1 files" in found.findings[0].message


def test_files_behind_mounts_and_left_out_by_tools_are_told() -> None:
    moved = replace(STATIC, path="dev/app")
    assert codes(report(folder("dev"), moved, command=("/dev/app",))) == [("OCC032", "error")]
    hidden = report(STATIC, folder("proc"), program("proc/config"), folder("var"), program("var/page"))
    assert codes(hidden) == [("OCC032", "note")]
    assert codes(report(STATIC, folder("var"), program("var/page"), libos="gramine")) == []
    gramine = report(STATIC, folder("var"), program("var/page"), libos="gramine@1.8")
    assert codes(gramine) == [("OCC033", "note")]
    assert "/var/page" in gramine.findings[0].message
    inside = report(
        folder("var"), replace(STATIC, path="var/app"), command=("/var/app",), libos="gramine@1.8"
    )
    assert codes(inside) == [("OCC033", "warning")]
    temporary = report(APP, LOADER, FOO, folder("tmp"), program("tmp/data"), libos="occlum@0.21.0")
    assert codes(temporary) == [("OCC032", "note")]
    assert codes(report(APP, LOADER, FOO, folder("tmp"), program("tmp/data"), libos="occlum")) == []


def test_files_that_are_not_the_images_at_run_time_are_told() -> None:
    files = (folder("etc"), program("etc/hosts"), replace(program("etc/resolv.conf"), size=0))
    assert codes(report(STATIC, *files)) == []
    found = report(APP, LOADER, FOO, *files, libos="occlum")
    assert [finding.code for finding in found.findings] == ["OCC035", "OCC034"]
    assert "1 files give way" in found.findings[0].message
    assert found.findings[1].message.startswith("/etc/hosts: ")


def test_special_files_that_get_lost_are_told() -> None:
    fifo = Entry(path="srv", type=FileType.FIFO, mode=0o600)
    device = Entry(path="disk", type=FileType.BLOCK_DEVICE, mode=0o600)
    null = Entry(path="dev/null", type=FileType.CHARACTER_DEVICE, mode=0o666)
    assert codes(report(STATIC, folder("dev"), fifo, null)) == []
    assert codes(report(STATIC, fifo, device)) == [("OCC036", "warning")]
    assert "2 FIFOs" in report(STATIC, fifo, device, libos="gramine").findings[0].message


def test_names_need_a_resolver_file_where_the_libos_makes_none() -> None:
    app = replace(APP, elf=elf(interpreter=MUSL, imports=("getaddrinfo",)))
    empty = (folder("etc"), replace(program("etc/resolv.conf"), size=0))
    assert codes(report(app, LOADER, *empty, libos="occlum@0.21.0")) == [("OCC040", "warning")]
    assert codes(report(app, LOADER, folder("etc"), program("etc/resolv.conf"), libos="occlum@0.21.0")) == []
    assert codes(report(app, LOADER, *empty, libos="occlum")) == []


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


def test_arguments_in_the_first_line_of_a_script_are_not_for_occlum() -> None:
    script = program("bin/start", interpreter_line="/bin/app -x")
    entries = (script, APP, LOADER, FOO)
    assert codes(report(*entries, command=("start",), libos="occlum")) == [("OCC015", "error")]
    assert codes(report(*entries, command=("start",), libos="gramine")) == []


@pytest.mark.parametrize(
    ("version", "libos", "expected"),
    [
        ("GLIBC_2.27", "occlum@0.21.0", []),
        ("GLIBC_2.31", "occlum@0.21.0", [("OCC016", "error")]),
        ("GLIBC_2.31", "occlum", []),
        ("GLIBC_2.34", "occlum", [("OCC016", "error")]),
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
        ("CXXABI_1.3.13", "occlum", [("OCC027", "error")]),
        ("GCC_12.0.0", "occlum", [("OCC027", "error")]),
        ("GLIBCXX_3.4.30", "builtin", []),
        ("GLIBCXX_3.4.31", "builtin", [("OCC028", "error")]),
        ("GLIBC_2.34", "builtin", []),
        ("GLIBC_2.38", "gramine", [("OCC028", "error")]),
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
    found = report(program("bin/app", elf=facts), LOADER, folder("opt"), standard, libos="occlum")
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
    ("imported", "libos", "expected"),
    [
        ("fork", "builtin", []),
        ("fork", "occlum", [("OCC019", "warning")]),
        ("fork", "gramine", []),
        ("posix_spawn", "builtin", []),
        ("execve", "builtin", []),
        ("posix_spawn", "occlum@0.18.1", []),
        ("execve", "occlum@0.21.0", [("OCC020", "warning")]),
        ("execve", "occlum@0.24.0", []),
        ("vfork", "builtin", []),
        ("socket", "builtin", []),
        ("connect", "builtin", [("OCC053", "note")]),
        ("connect", "gramine", []),
        ("socket", "occlum", []),
        ("fanotify_init", "builtin", [("OCC022", "warning")]),
        ("timerfd_create", "occlum@0.21.0", [("OCC022", "warning")]),
        ("timerfd_create", "occlum", []),
        ("timerfd_create", "gramine", [("OCC022", "warning")]),
        ("alarm", "builtin", []),
        ("mremap", "gramine", [("OCC022", "note")]),
        ("io_uring_setup", "builtin", [("OCC022", "warning")]),
        ("io_uring_queue_init", "occlum", [("OCC022", "warning")]),
        ("shmget", "builtin", []),
        ("shmget", "occlum@0.29.7", []),
        ("shm_open", "builtin", []),
        ("shm_open", "occlum@0.24.0", [("OCC039", "warning")]),
        ("shm_open", "occlum", [("OCC039", "note")]),
        ("sem_open", "gramine", [("OCC039", "note")]),
        ("dlopen", "builtin", [("OCC038", "note")]),
    ],
)
def test_imports_tell_what_a_program_may_do(
    imported: str, libos: str, expected: list[tuple[str, str]]
) -> None:
    app = replace(APP, elf=elf(interpreter=MUSL, imports=(imported,)))
    found = report(app, LOADER, libos=libos)
    assert codes(found) == expected
    assert all(imported in finding.message for finding in found.without([REPLACED]).findings)


def test_instructions_and_system_calls_of_ones_own_are_told() -> None:
    app = replace(
        APP, elf=elf(interpreter=MUSL, syscalls=(1, 165, 9999), instructions=("int80", "rdtscp", "sysenter"))
    )
    assert codes(report(app, LOADER)) == [("OCC024", "warning"), ("OCC024", "warning"), ("OCC023", "note")]
    assert "mount" in report(app, LOADER).findings[2].message
    assert codes(report(app, LOADER, libos="occlum")) == [
        ("OCC024", "warning"), ("OCC024", "warning"), ("OCC024", "warning"), ("OCC023", "note"),
    ]  # fmt: skip


def test_damage_and_writable_code_are_told() -> None:
    app = replace(APP, elf=elf(interpreter=MUSL, complete=False, executable_stack=True))
    assert codes(report(app, LOADER)) == [("OCC025", "error"), ("OCC026", "warning")]
    relocated = replace(FOO, elf=elf(soname="libfoo.so.1", text_relocations=True))
    found = report(APP, LOADER, relocated)
    assert codes(found) == [("OCC026", "warning")]
    assert "relocations in its code" in found.warnings[0].message
    damaged = replace(FOO, elf=elf(soname="libfoo.so.1", complete=False))
    assert codes(report(APP, LOADER, damaged)) == [("OCC025", "warning")]
    assert codes(report(replace(STATIC, elf=elf(type=1)))) == [("OCC014", "error")]


def test_a_library_is_no_program_but_a_loader_is() -> None:
    library = replace(STATIC, elf=elf(pie=False, needed=("libc.so",)))
    assert codes(report(library)) == [("OCC014", "error")]
    loader = replace(STATIC, elf=elf(pie=False))
    assert codes(report(loader)) == []
    assert codes(report(loader, libos="occlum")) == [("OCC008", "error")]


def test_go_is_recognised_and_the_remedy_names_its_fork() -> None:
    go = replace(STATIC, elf=elf(type=2, pie=False, static=True, toolchain="go1.22.1"))
    assert codes(report(go)) == [("OCC030", "note")]
    refused = report(go, libos="occlum")
    assert codes(refused) == [("OCC008", "error"), ("OCC030", "note")]
    assert "go1.22.1" in refused.errors[0].message
    assert "occlum-go" in refused.errors[0].remedy
    assert report(go).advice.memory >= 512 << 20


RUNTIMES = {
    "go": program("bin/server", elf=elf(type=2, pie=False, static=True, toolchain="go1.22.1")),
    "jvm": program("opt/java/bin/java", elf=elf(interpreter=MUSL)),
    "cpython": program("bin/python3.11", elf=elf(interpreter=MUSL)),
    "node": program("bin/node", elf=elf(interpreter=MUSL)),
    "dotnet": program("bin/dotnet", elf=elf(interpreter=MUSL)),
    "rust": program("bin/tool", elf=elf(interpreter=MUSL, toolchain="rustc 1.80.0")),
}


@pytest.mark.parametrize("profile", builtin_profiles(), ids=lambda profile: profile.title)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_runtime_gets_the_advice_of_each_profile(runtime: str, profile: Profile) -> None:
    entry = RUNTIMES[runtime]
    found = report(entry, LOADER, *map(folder, ("opt", "opt/java", "opt/java/bin")), profile=profile,
                   command=(f"/{entry.path}",))  # fmt: skip
    (note,) = [finding for finding in found.findings if finding.code == "OCC030"]
    assert note.path == entry.path
    assert f" is {runtime}" in note.message
    assert profile.runtimes.of(runtime) in note.message
    need = NEEDS.get(runtime)
    if need:
        assert found.advice.memory >= need.memory
        assert found.advice.threads >= need.threads
        assert any(need.why in reason for reason in found.advice.reasons)


def test_runtimes_are_known_by_their_libraries_too() -> None:
    for name, runtime in (
        ("libjvm.so", "jvm"), ("libpython3.11.so.1.0", "cpython"), ("libnode.so.108", "node"),
        ("libhostfxr.so", "dotnet"),
    ):  # fmt: skip
        app = program("bin/app", elf=elf(interpreter=MUSL, needed=(name,)))
        library = replace(FOO, path=f"usr/lib/{name}", elf=elf(soname=name))
        found = report(app, LOADER, library)
        assert codes(found) == [("OCC030", "note")]
        assert f"/usr/lib/{name} is {runtime}" in found.findings[0].message


def test_an_application_of_dotnet_is_known_by_what_is_beside_it() -> None:
    app = program("bin/app", elf=elf(interpreter=MUSL))
    assert codes(report(app, LOADER)) == []
    for ending in (".dll", ".runtimeconfig.json"):
        assert "dotnet" in report(app, LOADER, program(f"bin/app{ending}")).findings[0].message


def test_base_images_tell_the_version_of_a_runtime() -> None:
    found = report(RUNTIMES["node"], LOADER, command=("node",), environment={"NODE_VERSION": "20.11.1"})
    assert "node 20.11.1" in found.findings[0].message
    found = report(RUNTIMES["node"], LOADER, command=("node",), environment={"NODE_VERSION": "\n"})
    assert "is node; on" in found.findings[0].message


def test_other_programs_are_told_in_one_note() -> None:
    others = [program(f"usr/lib/old{number}", elf=elf(bits=32, machine=3)) for number in range(20)]
    found = report(APP, LOADER, FOO, *others)
    assert codes(found) == [("OCC031", "note")]
    assert "20 other" in found.findings[0].message
    assert "12 more" in found.findings[0].message


@pytest.mark.parametrize(
    ("facts", "profiles"),
    [
        ({"interpreter": GLIBC, "versions": ("GLIBC_2.29",)}, ["occlum@0.18.1", "occlum@0.21.0"]),
        ({"needed": ("libc.so.6",), "versions": ("GLIBC_2.2.5",)}, ["occlum@0.18.1"]),
        ({"needed": ("libc.so.6",), "versions": ("GLIBCXX_3.4.29",)},
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


def test_libraries_are_found_through_the_configuration_of_the_loader() -> None:
    app = program("bin/app", elf=elf(interpreter=GLIBC, needed=("libfoo.so.1",)))
    loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    library = replace(FOO, path="srv/lib/libfoo.so.1", elf=elf(soname="libfoo.so.1"))
    conf = program("etc/ld.so.conf", content=b"include /etc/ld.so.conf.d/*.conf\n")
    part = program("etc/ld.so.conf.d/x.conf", content=b"# a comment\n/srv/lib\n")
    folders = tuple(map(folder, ("etc", "etc/ld.so.conf.d", "srv", "srv/lib")))
    assert codes(report(app, loader, library, conf, part, *folders)) == []
    assert codes(report(app, loader, library, conf, *folders)) == [("OCC007", "error")]
    endless = replace(conf, content=b"include /etc/ld.so.conf\n")
    assert codes(report(app, loader, library, endless, *folders)) == [("OCC007", "error")]


def test_preloaded_libraries_belong_to_the_program_but_may_be_missing() -> None:
    app = replace(APP, elf=elf(interpreter=MUSL))
    preload = {"LD_PRELOAD": "/usr/lib/libfoo.so.1:libgone.so /usr/lib/libfoo.so.1"}
    calling = replace(FOO, elf=elf(soname="libfoo.so.1", imports=("fanotify_init",)))
    found = report(app, LOADER, calling, environment=preload)
    assert codes(found) == [("OCC022", "note")]
    assert codes(report(app, LOADER, environment=preload)) == []
    needs = replace(FOO, elf=elf(soname="libfoo.so.1", needed=("libgone2.so",)))
    assert codes(report(app, LOADER, needs, environment=preload)) == [("OCC007", "error")]


def test_endless_variables_are_cut_short() -> None:
    many = ":".join(f"/{number}" for number in range(200_000))
    app = replace(APP, elf=elf(interpreter=MUSL))
    paths = {"PATH": f"/bin:{many}", "LD_LIBRARY_PATH": many, "LD_PRELOAD": many}
    assert codes(report(app, LOADER, environment=paths)) == []


def test_only_rpath_is_inherited_in_glibc_and_both_in_musl() -> None:
    middle = program("opt/libmid.so", elf=elf(soname="libmid.so", needed=("libfoo.so.1",)))
    foo = replace(FOO, path="opt/libfoo.so.1", elf=elf(soname="libfoo.so.1"))
    glibc_loader = program("lib64/ld-linux-x86-64.so.2", elf=elf())
    for interpreter, loader, paths, expected in (
        (GLIBC, glibc_loader, {"runpath": "/opt"}, [("OCC007", "error")]),
        (GLIBC, glibc_loader, {"rpath": "/opt"}, []),
        (MUSL, LOADER, {"runpath": "/opt"}, []),
    ):
        app = program("bin/app", elf=elf(interpreter=interpreter, needed=("libmid.so",), **paths))
        assert codes(report(app, loader, middle, foo, folder("opt"))) == expected


def test_of_very_many_folders_the_first_are_searched() -> None:
    names = [f"opt/{number}" for number in range(600)]
    folders = (folder("opt"), *map(folder, names))
    paths = ":".join(f"/{name}" for name in names)
    app = program("bin/app", elf=elf(interpreter=MUSL, needed=("libfoo.so.1",), runpath=paths))
    assert codes(report(app, LOADER, *folders, replace(FOO, path="opt/200/libfoo.so.1"))) == []
    assert codes(report(app, LOADER, *folders, replace(FOO, path="opt/500/libfoo.so.1"))) == [
        ("OCC007", "error")
    ]


def test_libraries_of_another_class_are_passed_over() -> None:
    other = replace(FOO, path="lib/libfoo.so.1", elf=elf(bits=32, machine=3))
    assert codes(report(APP, LOADER, other, FOO)) == [("OCC031", "note")]
    assert ("OCC007", "error") in codes(report(APP, LOADER, other))


def test_findings_can_be_silenced_by_code_and_path() -> None:
    found = report(replace(APP, elf=elf(interpreter=MUSL, imports=("fanotify_init",))), LOADER)
    assert found.without([Silence(code="OCC022")]).findings == ()
    assert found.without([Silence(code="OCC022", paths="/bin/*")]).silenced == 1
    assert found.without([Silence(code="OCC022", paths="/usr/*")]).findings == found.findings
    assert found.without([Silence(code="OCC020")]).findings == found.findings


def test_a_finding_about_many_files_is_silenced_if_all_match() -> None:
    files = (folder("var"), program("var/a"), folder("boot"), program("boot/b"))
    found = report(STATIC, *files, libos="gramine@1.8")
    assert (found.findings[0].path, found.findings[0].others) == ("boot/b", ("var/a",))
    assert found.without([Silence(code="OCC033", paths="/boot/*")]).findings == found.findings
    assert found.without([Silence(code="OCC033", paths="/*/*")]).findings == ()


def test_forced_codes_do_not_stop_a_build() -> None:
    found = report(STATIC, libos="occlum")
    found.raise_errors(["OCC008"])
    with pytest.raises(IncompatibleImageError):
        found.raise_errors(["OCC009"])


def test_every_code_that_a_rule_gives_is_explained() -> None:
    source = "".join(path.read_text() for path in RULES)
    assert set(re.findall(r'"(OCC\d{3})"', source)) == set(CODES)
    assert "PIE" in explain("occ009")
    assert max(len(line) for code in CODES for line in explain(code).splitlines()) <= 80
    with pytest.raises(UsageError, match="no code"):
        explain("OCC999")
    assert [line.split("  ")[0] for line in list_codes().splitlines()] == sorted(CODES)
