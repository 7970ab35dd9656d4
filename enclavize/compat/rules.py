"""The rules: each looks at the program of an image and yields findings. Codes are stable."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from enclavize.compat.code_rules import OWN_LIBRARIES, closure_findings, other_files
from enclavize.compat.file_rules import file_findings
from enclavize.compat.first_line_rules import first_line_findings
from enclavize.compat.library_path import libc_family
from enclavize.compat.profile import Support
from enclavize.compat.report import Finding, Report, Severity
from enclavize.compat.sizes import advise, largest
from enclavize.compat.stage_rules import lowered, stage_findings
from enclavize.compat.stages import Stage
from enclavize.compat.start_rules import start_findings
from enclavize.compat.wording import error_about, finding_about, name_of
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.program import Program
    from enclavize.compat.subject import Subject
    from enclavize.oci.image import Image
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_ET_EXEC, _ET_DYN = 2, 3
_SETUID = 0o6000
_NOT_FOUND = ("OCC002", "OCC007")
"""Programs and libraries that may be found after all, where a script looks for them elsewhere."""


def check(subject: Subject, image: Image, profile: Profile) -> Report:
    """Apply all rules. Errors first, then warnings, then notes."""
    program = subject.program
    found = dict.fromkeys(_findings(subject, program, profile))
    return Report(
        image=image.name,
        libos=profile.libos,
        libos_version=profile.version,
        title=profile.title,
        findings=tuple(sorted(found, key=lambda finding: list(Severity).index(finding.severity))),
        advice=largest(
            advise(
                stage.program,
                profile,
                stage.arguments,
                subject.environment,
                entries=len(subject.rootfs.entries),
            )
            for stage in _sized(subject)
        ),
    )


def _sized(subject: Subject) -> tuple[Stage, ...]:
    """Return the steps whose programs take memory; an image without a program has an empty one."""
    if subject.stages:
        return subject.stages
    return (Stage(arguments=subject.arguments, program=subject.program, uid=subject.uid),)


def _findings(subject: Subject, program: Program, profile: Profile) -> Iterator[Finding]:
    if not subject.arguments or not subject.arguments[0]:
        yield _error(
            "OCC001",
            "",
            "the image names no program: no entrypoint, no command",
            "set ENTRYPOINT in the image; of dir:PATH: --entrypoint",
        )
        return
    yield from _program_is_there(program, profile)
    yield from first_line_findings(program, profile, by_build=profile.elf.script_arguments is Support.PARTIAL)
    yield from _executable_form(program, profile)
    yield from _loader(program, profile)
    yield from _setuid(program)
    yield from _working_directory(subject, profile)
    yield from closure_findings(program, profile)
    yield from start_findings(program, subject, profile)
    yield from stage_findings(subject, profile)
    yield from _later_programs(subject, profile)
    yield from file_findings(program, subject, profile)
    yield from other_files(subject.rootfs, program, profile)


def _later_programs(subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Look at what launchers and entrypoints become as at the first program."""
    for stage in subject.stages[1:]:
        program = stage.program
        found = (
            *_program_is_there(program, profile),
            *first_line_findings(program, profile, by_build=False),
            *_executable_form(program, profile),
            *_loader(program, profile),
            *closure_findings(program, profile),
        )
        for finding in found:
            is_doubtful = stage.elsewhere and finding.code in _NOT_FOUND
            yield from (finding,) if stage.certain and not is_doubtful else lowered((finding,))


def _program_is_there(program: Program, profile: Profile) -> Iterator[Finding]:
    if missing := program.missing_executable:
        yield _error(
            "OCC002",
            "",
            f"{printable(missing.wanted_by)} runs {missing.wanted!r}, which is not a file of the image",
            "correct ENTRYPOINT, PATH or the #! line",
        )
    for launcher in program.launchers:
        if profile.process.exec is Support.NO:
            yield error_about(
                "OCC041",
                program.scripts[0],
                f"is started by {name_of(launcher)}, which replaces itself by its interpreter; "
                f"{profile.title} has no execve",
                "give the full name of the interpreter in the first line: #!/usr/bin/python3",
            )
    for entry in (*program.scripts[:1], program.executable):
        if entry and not entry.mode & 0o111:
            yield error_about("OCC003", entry, "is not executable", "chmod +x in the image")


def _executable_form(program: Program, profile: Profile) -> Iterator[Finding]:
    executable = program.executable
    if executable is None:
        return
    elf = executable.elf
    if elf is None:
        yield error_about("OCC014", executable, "is neither an ELF file nor a script with #!")
        return
    if not elf.is_x86_64:
        yield error_about(
            "OCC004",
            executable,
            "is not a program for 64-bit x86",
            "use the image for linux/amd64",
        )
        return
    if elf.type not in (_ET_EXEC, _ET_DYN):
        yield error_about(
            "OCC014",
            executable,
            "is an ELF file, but no program",
            "link it: this may be an object file",
        )
    if not elf.complete:
        yield error_about(
            "OCC025",
            executable,
            "is damaged: parts of it are not in the file",
            "copy it into the image again",
        )
    if elf.static:
        kind = "a static position-independent program" if elf.pie else "a static program"
        support = profile.elf.static_pie if elf.pie else profile.elf.static
        remedy = "link it dynamically, as a PIE, with the C library"
        if elf.toolchain.startswith("go"):
            kind, remedy = f"{kind} of Go ({elf.toolchain})", profile.runtimes.of("go")
        yield from _supported(
            support,
            "OCC008",
            executable,
            kind,
            profile,
            remedy=remedy,
        )
    elif elf.type == _ET_DYN and not elf.interpreter and elf.needed:
        yield error_about(
            "OCC014",
            executable,
            "is a shared library, no program",
            "make the program that uses it the entrypoint",
        )
    elif elf.type == _ET_DYN and not elf.interpreter:
        kind = "without an interpreter, as loaders are"
        remedy = "start the program itself, not its loader"
        yield from _supported(profile.elf.static_pie, "OCC008", executable, kind, profile, remedy=remedy)
    elif elf.type == _ET_EXEC:
        yield from _supported(
            profile.elf.fixed_address,
            "OCC009",
            executable,
            "linked for a fixed address",
            profile,
            remedy="build it with -fPIE -pie",
        )


def _loader(program: Program, profile: Profile) -> Iterator[Finding]:
    executable = program.executable
    if executable is None or executable.elf is None or not executable.elf.interpreter:
        return
    interpreter = executable.elf.interpreter
    family = libc_family(interpreter)
    kind = f"a {family} program (its interpreter is {printable(interpreter)})"
    if family == "other":
        kind = f"a program for the interpreter {printable(interpreter)}"
    yield from _supported(
        profile.libc.of(family),
        "OCC006",
        executable,
        kind,
        profile,
        remedy="use an image that is built on musl, such as Alpine's",
    )
    if (missing := program.missing_interpreter) and not profile.libc.own:
        yield error_about(
            "OCC005",
            executable,
            f"needs the interpreter {printable(missing.wanted)}, which is not in the image",
        )
    for library in program.missing_libraries:
        if not (profile.libc.own and library.wanted in OWN_LIBRARIES):
            yield _error(
                "OCC007",
                library.wanted_by.removeprefix("/"),
                f"{printable(library.wanted_by)} needs the library {printable(library.wanted)}, "
                "which was not found in the image",
                "install the library in the image, or set LD_LIBRARY_PATH",
            )


def _setuid(program: Program) -> Iterator[Finding]:
    for entry in (*program.scripts, program.executable):
        if entry and entry.mode & _SETUID:
            text = "has the setuid or setgid bit, which has no effect in an enclave"
            yield finding_about("OCC011", Severity.WARNING, entry, text)


def _is_behind_link_to_nothing(rootfs: Rootfs, path: str) -> bool:
    """Tell whether a folder cannot be made, since a link on its way leads into another missing one."""
    names = path.strip("/").split("/")
    for prefix in ("/".join(names[: count + 1]) for count in range(len(names))):
        link = rootfs.find(prefix, follow=False)
        if link is not None and rootfs.find(prefix) is None:
            try:
                return rootfs.find(posixpath.dirname(rootfs.destination(prefix))) is None
            except OSError:
                return True
    return False


def _working_directory(subject: Subject, profile: Profile) -> Iterator[Finding]:
    path = posixpath.normpath(subject.working_directory)
    if profile.process.working_directory is Support.PARTIAL and path != "/":
        yield Finding(
            code="OCC013",
            severity=Severity.WARNING,
            path=path.lstrip("/"),
            message=f"{profile.title} starts programs in /, not in the working directory {printable(path)}",
            remedy="name files by full paths",
        )
        return
    entry = subject.rootfs.find(path)
    if entry is None and _is_behind_link_to_nothing(subject.rootfs, path):
        yield _error(
            "OCC013",
            path.lstrip("/"),
            f"the working directory {printable(path)} is behind a link to nothing",
            "make the folder that it leads to in the image",
        )
    elif entry is not None and entry.type is not FileType.DIRECTORY:
        yield error_about("OCC013", entry, "is the working directory, but no folder", "name a folder")
    elif (closed := entry and subject.closed_folder(entry)) is not None:
        # Engines go there as root, before they become the user (runc, finalizeNamespace).
        yield Finding(
            code="OCC013",
            severity=Severity.WARNING,
            path=path.lstrip("/"),
            message=f"the program starts in {printable(path)}, but its user {subject.uid} may not enter "
            f"/{printable(closed.path)}: it finds no files by relative names",
            remedy="give the user the right to enter it, or set another WORKDIR",
        )


def _supported(
    support: Support, code: str, entry: Entry, kind: str, profile: Profile, *, remedy: str
) -> Iterator[Finding]:
    if support is Support.NO:
        yield error_about(code, entry, f"is {kind}; {profile.title} cannot run such", remedy)
    elif support is Support.UNTESTED:
        yield finding_about(
            code, Severity.WARNING, entry, f"is {kind}; {profile.title} was not tested with such", remedy
        )


def _error(code: str, path: str, message: str, remedy: str = "") -> Finding:
    return Finding(code=code, severity=Severity.ERROR, path=path, message=message, remedy=remedy)
