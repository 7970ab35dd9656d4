"""What code tells: imports, system calls, instructions, damage."""

from dataclasses import replace

import pytest

from support.checked_image import APP, FOO, LOADER, MUSL, REPLACED, STATIC, codes, elf, program, report


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


def test_other_programs_are_told_in_one_note() -> None:
    others = [program(f"usr/lib/old{number}", elf=elf(bits=32, machine=3)) for number in range(20)]
    found = report(APP, LOADER, FOO, *others)
    assert codes(found) == [("OCC031", "note")]
    assert "20 other" in found.findings[0].message
    assert "12 more" in found.findings[0].message
