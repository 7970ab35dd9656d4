"""Rules about each step of a command line: launchers that drop privileges, known servers, scripts."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.compat.address_rules import address_findings
from enclavize.compat.group_rules import group_findings
from enclavize.compat.launchers import LAUNCHERS
from enclavize.compat.log_links import log_links
from enclavize.compat.pam import required_in_sessions
from enclavize.compat.profile import Support
from enclavize.compat.report import Finding, Severity
from enclavize.compat.script_writes import write_findings
from enclavize.compat.servers import Loss, needs_of
from enclavize.compat.service_rules import server_names
from enclavize.compat.shell import BUILTINS
from enclavize.compat.wording import listed, that_fail
from enclavize.compat.written_program_rules import written_program_findings
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.stages import Stage
    from enclavize.compat.subject import Subject

_IN_MEMORY = re.compile(r"\bmktemp\b|\$\{?TMPDIR\b|(?<![\w/])/(?:tmp|run|dev/shm)/[\w$\"'{]")
"""What a script says that makes files in folders in memory."""

_LIMITS, _PRIORITY = "pam_limits.so", "setpriority"

_SEVERITIES = {Loss.ALL: Severity.ERROR, Loss.PART: Severity.WARNING, Loss.NONE: Severity.NOTE}

_NAMED_PIPE = re.compile(r"(?<=[\s=])[<>]\(|/dev/stdin\b|/dev/fd/\d|/proc/self/fd/(?![12]\b)\d")
"""What a script says that opens a pipe by the name of a descriptor; its own output is mostly none."""

_TO_STANDARD_ERROR = re.compile(r">&\s*2\b|/dev/stderr\b")
"""What a script says that sends words to standard error."""

_APPENDS = re.compile(r"(?<![<>])>>(?!>)\s*\"?(?!/dev/|/proc/|\d+\s*\)\))[\w/$~.{]")
"""What a script says that appends to a file; streams have no end to write to."""

_READERS = frozenset(
    {
        "awk", "cat", "chgrp", "chmod", "chown", "cmp", "comm", "cut", "diff", "grep", "head", "join", "ls",
        "md5sum", "mv", "nl", "od", "paste", "sed", "sha256sum", "sort", "stat", "tail", "uniq", "wc",
    }
)  # fmt: skip
"""Commands that fail if a file that they are given is not there."""


def stage_findings(subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Apply the rules. What is not certain to happen gives no error."""
    yield from _users_folders(subject, profile)
    yield from _logs(subject, profile)
    for stage in subject.stages:
        found = (
            *_drops_privileges(stage, subject, profile),
            *_needs(stage, subject, profile),
            *address_findings(stage),
            *_commands(stage, subject, profile),
            *_shares_memory_folders(stage, subject, profile),
            *_names_pipes(stage, profile),
            *_parts_streams(stage, profile),
            *group_findings(stage, subject, profile),
            *_appends(stage, profile),
            *write_findings(stage, subject, profile),
            *written_program_findings(stage, subject, profile),
        )
        yield from found if stage.certain else lowered(found)


def lowered(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Make warnings of errors: what they are about may not happen."""
    for finding in findings:
        is_error = finding.severity is Severity.ERROR
        yield replace(finding, severity=Severity.WARNING) if is_error else finding


def _users_folders(subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell which folders were made for the image's user, or for everybody, and cannot be written."""
    if profile.files.writable is not Support.NO:
        return
    found: list[str] = []
    for entry in subject.rootfs.entries.of_types({FileType.DIRECTORY}):
        path = f"/{entry.path}"
        for_user = subject.uid != 0 and entry.uid == subject.uid and entry.mode & 0o200
        # Those with the sticky bit are for temporary files.
        is_own = for_user or entry.mode & 0o1002 == 0o002
        is_new = not any(path.startswith(f"{folder}/") for folder in found)
        if is_own and is_new and subject.is_closed(path, profile.files):
            found.append(path)
    if found:
        yield Finding(
            code="OCC059",
            severity=Severity.WARNING,
            path=found[0].strip("/"),
            message=f"user {subject.uid} of the image may write to {printable(listed(found))} natively; "
            f"{profile.title} keeps the image's folders as they are",
            remedy=f"--tmpfs {printable(found[0])}, or --volume for what is to last",
            others=tuple(folder.strip("/") for folder in found[1:]),
        )


def _logs(subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell of links to the standard streams, by which servers log."""
    if profile.files.writable is not Support.NO:
        return
    for folder, links in log_links(subject.rootfs).items():
        if subject.is_closed(folder, profile.files):
            yield Finding(
                code="OCC061",
                severity=Severity.WARNING,
                path=next(iter(links)).strip("/"),
                message=f"{printable(listed(links))}: links to the standard streams, which {profile.title} "
                "cannot open",
                remedy="let the program's configuration name /dev/stdout and /dev/stderr, which work; "
                f"--tmpfs {printable(folder)} lets it log to where nobody looks",
            )


def _drops_privileges(stage: Stage, subject: Subject, profile: Profile) -> Iterator[Finding]:
    launcher = LAUNCHERS.get(stage.name)
    if launcher is None or not launcher.drops or stage.program.executable is None:
        return
    calls = profile.syscalls
    absent = [name for name in launcher.calls if not calls.serves(name)]
    if absent:
        how = f"by {that_fail(absent)} on {profile.title} with {calls.errno_of(absent[0])}"
    elif launcher.session and _PRIORITY not in calls.implemented and _sets_limits(stage, subject):
        how = (
            f"in a session of PAM, whose pam_limits sets a priority of 0, which {_PRIORITY} of "
            f"{profile.title} refuses"
        )
    else:
        return
    yield Finding(
        code="OCC057",
        severity=Severity.ERROR,
        path=stage.program.executable.path,
        message=f"{printable(stage.name)} becomes another user {how}",
        remedy="set USER in the image: entrypoints start the server themselves then"
        + (", or take setuidgid, chpst or gosu" if not absent else ""),
    )


def _sets_limits(stage: Stage, subject: Subject) -> bool:
    """Tell whether a session of a launcher does not begin without limits and a priority (pam_limits(8))."""
    return _LIMITS in required_in_sessions(subject.rootfs, stage.name)


def _needs(stage: Stage, subject: Subject, profile: Profile) -> Iterator[Finding]:
    path = stage.program.executable.path if stage.program.executable else ""
    known = {needs: name for name in reversed(server_names(stage)) for needs in needs_of(name)}
    for needs, name in known.items():
        if absent := needs.missing(profile.syscalls):
            yield Finding(
                code="OCC058",
                severity=_SEVERITIES[needs.loss],
                path=path,
                message=f"{printable(name)} {needs.loss} without {listed(absent)}, which {profile.title} "
                f"does not serve: {needs.why}",
                remedy="" if needs.loss is Loss.NONE else "choose a LibOS that serves it, or another server",
            )
        written = needs.writes(subject, stage) if needs.writes else ()
        if closed := [folder for folder in written if _is_closed(folder, subject, profile)]:
            yield Finding(
                code="OCC059",
                severity=Severity.ERROR,
                path=closed[0].strip("/"),
                message=f"{printable(name)} writes to {printable(listed(closed))}, and {profile.title} keeps "
                "the image's folders as they are",
                remedy=" ".join(f"--tmpfs {printable(folder)}" for folder in closed)
                + ", or --volume for what is to last",
            )
        kept = needs.kept_in(subject.environment)
        if kept and subject.cannot_make(kept, profile.files):
            yield Finding(
                code="OCC059",
                severity=Severity.ERROR if needs.always else Severity.WARNING,
                path=path,
                message=f"{printable(name)} {'ends' if needs.always else 'may end'} if it cannot make "
                f"{printable(kept)}, and {profile.title} keeps the image's folders as they are",
                remedy=f"--tmpfs {printable(kept)}, or --volume for what is to last",
            )


def _is_closed(folder: str, subject: Subject, profile: Profile) -> bool:
    """Tell whether a folder can be written, or made, natively, but not in the LibOS."""
    is_there = subject.rootfs.find(folder) is not None
    return (subject.is_closed if is_there else subject.cannot_make)(folder, profile.files)


def _commands(stage: Stage, subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell of commands in a script that are known to fail; the script may go on."""
    steps = {step.arguments for step in subject.stages}
    names = dict.fromkeys(
        posixpath.basename(command.words[0]) for command in stage.commands if command.words not in steps
    )
    for name in names:
        for needs in needs_of(name):
            absent = needs.missing(profile.syscalls)
            if absent and needs.loss is not Loss.NONE:
                yield Finding(
                    code="OCC058",
                    severity=Severity.WARNING,
                    path="",
                    message=f"{printable(stage.name)} starts {name}, which {needs.loss} without "
                    f"{listed(absent)} on {profile.title}: {needs.why}",
                    remedy="leave it out of the script, or let its failure be",
                )


def _shares_memory_folders(stage: Stage, subject: Subject, profile: Profile) -> Iterator[Finding]:
    if profile.files.memory_shared is not Support.NO or stage.script is None:
        return
    if not _IN_MEMORY.search(stage.script.text) or (entry := stage.program.started) is None:
        return
    starts = [
        command.words[0]
        for command in stage.commands
        if not command.replaces and command.words[0] not in BUILTINS
    ]
    if starts:
        yield Finding(
            code="OCC060",
            severity=Severity.ERROR if _ends_without(stage, subject, profile) else Severity.WARNING,
            path=entry.path,
            message=f"{printable(stage.name)} makes files in a folder in memory and starts "
            f"{printable(listed(dict.fromkeys(starts)))}: on {profile.title} each process has such folders "
            "of its own, so they do not see each other's files",
            remedy="--volume PATH with TMPDIR=PATH, or a mount of the type encrypted",
        )


def _names_pipes(stage: Stage, profile: Profile) -> Iterator[Finding]:
    if profile.files.pipes_by_name is not Support.NO or stage.script is None:
        return
    if not (found := _NAMED_PIPE.search(stage.script.text)) or (entry := stage.program.started) is None:
        return
    what = f"{found[0]}...)" if found[0].endswith("(") else found[0]
    fails = any(command.names_pipe and stage.fails_with(command) for command in stage.commands)
    yield Finding(
        code="OCC062",
        severity=Severity.ERROR if fails else Severity.WARNING,
        path=entry.path,
        message=f"{printable(stage.name)} has {what}, by which a pipe is opened; {profile.title} opens no "
        "pipe by a name",
        remedy="a pipeline, or a text behind <<<; of programs that read such a name, let them read their "
        "standard input",
    )


def _parts_streams(stage: Stage, profile: Profile) -> Iterator[Finding]:
    """Tell of scripts whose messages would come out among their output."""
    if profile.process.standard_error is Support.NO:
        yield from _about_text(
            stage, _TO_STANDARD_ERROR, code="OCC064", severity=Severity.NOTE,
            what=f"writes to standard error, which on {profile.title} comes out of standard output",
            remedy="where somebody reads the output as data, let messages go to a file of a volume",
        )  # fmt: skip


def _appends(stage: Stage, profile: Profile) -> Iterator[Finding]:
    """Tell of scripts that append to files, where what these have would be written over."""
    if profile.files.appends is Support.NO:
        yield from _about_text(
            stage, _APPENDS, code="OCC066", severity=Severity.WARNING,
            what=f"appends to files (>>), which {profile.title} writes over from their beginning",
            remedy="a later release; or open the file once: { ...; } >FILE",
        )  # fmt: skip


def _about_text(
    stage: Stage, pattern: re.Pattern[str], *, code: str, severity: Severity, what: str, remedy: str
) -> Iterator[Finding]:
    """Tell of what stands in a stage's script."""
    started = stage.program.started
    if stage.script is not None and started is not None and pattern.search(stage.script.text):
        yield Finding(
            code=code, severity=severity, path=started.path, message=f"{printable(stage.name)} {what}",
            remedy=remedy,
        )  # fmt: skip


def _ends_without(stage: Stage, subject: Subject, profile: Profile) -> bool:
    """Tell whether the script certainly fails: a child of it reads what only the shell itself has."""
    return any(
        not command.replaces
        and posixpath.basename(command.words[0]) in _READERS
        and stage.fails_with(command)
        and any(_is_memory_alone(word, subject, profile) for word in command.words[1:])
        for command in stage.commands
    )


def _is_memory_alone(word: str, subject: Subject, profile: Profile) -> bool:
    """Tell whether a word is a path in a folder in memory, of nothing that the image or a volume has."""
    opened = any(word.startswith(f"{place.rstrip('/')}/") for place in subject.writable)
    in_memory = any(word.startswith(f"/{folder}/") for folder in profile.files.memory)
    return in_memory and not opened and subject.rootfs.find(word) is None
