"""Rules about what the ELF files of a program import, need and contain."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from enclavize.compat.library_path import libc_family
from enclavize.compat.profile import Support
from enclavize.compat.report import Severity
from enclavize.compat.symbols import CALLS, DISPENSABLE, EXECS, FORKS, SOCKETS, SPAWNS, VFORKS
from enclavize.compat.syscalls import NAMES
from enclavize.compat.version_rules import is_newer, version_findings
from enclavize.compat.wording import finding_about, finding_about_all, listed, name_of, that_fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.program import Program
    from enclavize.compat.report import Finding
    from enclavize.rootfs.entry import ElfFacts, Entry
    from enclavize.rootfs.tree import Rootfs

OWN_LIBRARIES = frozenset(
    {
        "libc.so", "libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1", "ld-linux-x86-64.so.2", "libc.so.6",
        "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1",
        "libnss_files.so.2", "libnss_dns.so.2", "libanl.so.1", "libstdc++.so.6", "libgcc_s.so.1",
    }
)  # fmt: skip
"""What a LibOS with its own C library has its own copies of."""

_PROCESS_REMEDY = "let one process do all the work, or choose a LibOS with processes"


def closure_findings(program: Program, profile: Profile) -> Iterator[Finding]:
    """Apply the rules to each ELF file of the program but the C library."""
    for entry in own_files(program):
        if entry.elf is None:
            continue
        if not entry.elf.complete and entry is not program.executable:
            yield finding_about(
                "OCC025", Severity.WARNING, entry, "is damaged: not all of its headers could be read"
            )
        yield from _processes(entry, entry.elf, profile)
        yield from _calls(entry, entry.elf, profile, first=entry is program.executable)
        yield from _instructions(entry, entry.elf, profile)
        yield from _memory(entry, entry.elf)
    yield from _go(program, profile)
    yield from version_findings(own_files(program), program, profile)
    yield from _mixed(program)
    for runtime in program.runtimes:
        yield finding_about(
            "OCC030", Severity.NOTE, runtime.entry,
            f"is {runtime.name} {runtime.version}".rstrip() + f"; on {profile.title}: "
            f"{profile.runtimes.of(runtime.name)}",
        )  # fmt: skip


def other_files(rootfs: Rootfs, program: Program, profile: Profile) -> Iterator[Finding]:
    """Say in one note which programs, that the entrypoint does not lead to, could not run."""
    known = {entry.path for entry in program.files}
    failing = [
        entry
        for entry in rootfs.entries.elf_files()
        if entry.elf is not None and entry.path not in known and _cannot_run(entry.elf, profile)
    ]
    if failing:
        yield finding_about_all(
            "OCC031", Severity.NOTE, failing,
            f"{len(failing)} other ELF files could not run on {profile.title}: "
            f"{listed(map(name_of, failing))}",
        )  # fmt: skip


def own_files(program: Program) -> list[Entry]:
    """Return the files that are not the C library's; a static program includes it."""
    files = [program.executable] if program.executable else []
    return files + [entry for entry in program.libraries if _library_name(entry) not in OWN_LIBRARIES]


def _library_name(entry: Entry) -> str:
    """Return what programs call a library: libstdc++.so.6, whose file is libstdc++.so.6.0.30."""
    soname = entry.elf.soname if entry.elf else ""
    return soname or posixpath.basename(entry.path)


def _processes(entry: Entry, elf: ElfFacts, profile: Profile) -> Iterator[Finding]:
    process = profile.process
    imports = frozenset(elf.imports)
    kinds = (
        ("OCC019", FORKS, process.fork),
        ("OCC020", SPAWNS, process.spawn),
        ("OCC020", VFORKS, process.vfork),
        ("OCC020", EXECS, process.exec),
    )
    texts: dict[str, list[str]] = {}
    for code, names, support in kinds:
        if support is Support.NO and imports & names:
            texts.setdefault(code, []).extend(sorted(imports & names))
    for code, found in texts.items():
        yield finding_about(
            code, Severity.WARNING, entry,
            f"imports {that_fail(found)} on {profile.title}", _PROCESS_REMEDY,
        )  # fmt: skip


def _calls(entry: Entry, elf: ElfFacts, profile: Profile, *, first: bool) -> Iterator[Finding]:
    calls = profile.syscalls
    sockets = sorted(name for name in SOCKETS.intersection(elf.imports) if not calls.serves(name))
    if sockets and not calls.serves("socket"):
        yield finding_about(
            "OCC021", Severity.WARNING, entry,
            f"imports {listed(sockets)}; {profile.title} has no sockets",
        )  # fmt: skip
    absent = [name for name in elf.imports if name in CALLS and not any(map(calls.serves, CALLS[name]))]
    if absent:
        errnos = sorted({calls.errno_of(CALLS[name][0]) for name in absent})
        matters = first and not DISPENSABLE.issuperset(absent)
        yield finding_about(
            "OCC022", Severity.WARNING if matters else Severity.NOTE, entry,
            f"imports {that_fail(absent)} on {profile.title} with {' or '.join(errnos)}",
        )  # fmt: skip


def _instructions(entry: Entry, elf: ElfFacts, profile: Profile) -> Iterator[Finding]:
    names = [NAMES[number] for number in elf.syscalls if number in NAMES]
    absent = [name for name in names if not profile.syscalls.serves(name)]
    if names and profile.instructions.syscall is not Support.YES:
        yield finding_about(
            "OCC023", Severity.NOTE, entry,
            f"makes {len(names)} system calls itself, such as {names[0]}: each is an exception on "
            f"{profile.title}",
        )  # fmt: skip
    if absent:
        yield finding_about(
            "OCC023", Severity.NOTE, entry,
            f"makes system calls itself that {profile.title} does not serve: {listed(absent)}",
        )  # fmt: skip
    instructions = profile.instructions
    supports = {
        "int80": instructions.int80, "sysenter": instructions.sysenter, "rdtscp": instructions.rdtscp,
    }  # fmt: skip
    for name in elf.instructions:
        if supports.get(name, Support.YES) is Support.NO:
            yield finding_about(
                "OCC024", Severity.WARNING, entry, f"seems to have {name}, which fails on {profile.title}"
            )


def _memory(entry: Entry, elf: ElfFacts) -> Iterator[Finding]:
    asked = [
        text
        for wanted, text in (
            (elf.executable_stack, "an executable stack"),
            (elf.text_relocations, "relocations in its code"),
        )
        if wanted
    ]
    if asked:
        yield finding_about("OCC026", Severity.WARNING, entry, f"asks for {' and '.join(asked)}")


def _go(program: Program, profile: Profile) -> Iterator[Finding]:
    """A static program of Go is refused as such; with a loader, but no C library, it comes no further."""
    entry = program.executable
    if entry is None or entry.elf is None or not profile.libc.own:
        return
    if entry.elf.toolchain.startswith("go") and entry.elf.interpreter and not entry.elf.needed:
        yield finding_about(
            "OCC052", Severity.ERROR, entry,
            f"is a program of Go ({entry.elf.toolchain}) without a C library, in whose place {profile.title} "
            "stands",
            profile.runtimes.of("go"),
        )  # fmt: skip


def _mixed(program: Program) -> Iterator[Finding]:
    executable = program.executable
    if executable is None or executable.elf is None:
        return
    family = libc_family(executable.elf.interpreter)
    for entry in program.libraries:
        if entry.elf is None:
            continue
        other = {"musl": "glibc", "glibc": "musl"}.get(family, "")
        if other and _family(entry.elf) == other:
            yield finding_about(
                "OCC018", Severity.WARNING, entry,
                f"is made for {other}, in a program of {family}",
                "install one that is made for the same C library",
            )  # fmt: skip


def _family(elf: ElfFacts) -> str:
    """Tell what C library a library is made for, by what it needs; "" if nothing tells."""
    if any(version.startswith("GLIBC_") for version in elf.versions) or "libc.so.6" in elf.needed:
        return "glibc"
    return "musl" if "libc.musl-x86_64.so.1" in elf.needed else ""


def _cannot_run(elf: ElfFacts, profile: Profile) -> bool:
    if not elf.is_x86_64:
        return True
    if elf.interpreter and not elf.pie and profile.elf.fixed_address is Support.NO:
        return True
    if family := libc_family(elf.interpreter) if elf.interpreter else _family(elf):
        return profile.libc.of(family) is Support.NO or is_newer(elf, family, profile)
    if elf.static:
        return (profile.elf.static_pie if elf.pie else profile.elf.static) is Support.NO
    return False
