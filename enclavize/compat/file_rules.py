"""Rules about what a LibOS makes of the image's files: mounts, users, and what its tools leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.profile import Support
from enclavize.compat.report import Severity
from enclavize.compat.symbols import RESOLVERS, SHARED_MEMORY
from enclavize.compat.wording import error_about, finding_about, finding_about_all, listed, name_of
from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from enclavize.compat.profile import Profile
    from enclavize.compat.program import Program
    from enclavize.compat.report import Finding
    from enclavize.compat.subject import Subject
    from enclavize.rootfs.entry import Entry

_RESOLVER_FILE = "etc/resolv.conf"
_DEVICES = (FileType.CHARACTER_DEVICE, FileType.BLOCK_DEVICE)


def file_findings(program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Apply the rules to the program's files and to all others of the image."""
    yield from _hidden(program, subject, profile)
    yield from _left_out(program, subject, profile)
    yield from _replaced(subject, profile)
    yield from _special(subject, profile)
    yield from _users(program, subject, profile)
    yield from _imports(program, subject, profile)


def _hidden(program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    for entry in _below(program.files, profile.files.hidden):
        yield error_about(
            "OCC032", entry,
            f"is in a folder over which {profile.title} mounts a file system of its own",
            "put it elsewhere in the image",
        )  # fmt: skip
    known = {entry.path for entry in program.files}
    hidden = [entry for entry in _contents(subject, profile.files.hidden) if entry.path not in known]
    if hidden:
        yield finding_about_all(
            "OCC032", Severity.NOTE, hidden,
            f"{len(hidden)} files are hidden by file systems that {profile.title} mounts: {_named(hidden)}",
        )  # fmt: skip


def _left_out(program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    for entry in _below(program.files, profile.files.left_out):
        yield finding_about(
            "OCC033", Severity.WARNING, entry,
            f"is where the tools of {profile.title} look for no files",
            "name it in the LibOS's configuration, or put it elsewhere in the image",
        )  # fmt: skip
    outside = tuple(path for path in profile.files.left_out if path not in profile.files.hidden)
    known = {entry.path for entry in program.files}
    others = [entry for entry in _contents(subject, outside) if entry.path not in known]
    if others:
        yield finding_about_all(
            "OCC033", Severity.NOTE, others,
            f"{len(others)} files are where the tools of {profile.title} look for none: {_named(others)}",
        )  # fmt: skip


def _replaced(subject: Subject, profile: Profile) -> Iterator[Finding]:
    own = [entry for path in profile.files.own if (entry := subject.rootfs.find(path))]
    if own:
        yield finding_about_all(
            "OCC035", Severity.NOTE, own,
            f"{len(own)} files give way to those of {profile.title}: {_named(own)}",
        )  # fmt: skip
    rewritten = [
        entry for path in profile.files.rewritten if (entry := subject.rootfs.find(path)) and entry.size
    ]
    if rewritten:
        yield finding_about_all(
            "OCC034", Severity.NOTE, rewritten,
            f"{_named(rewritten)}: on {profile.title} the host's content stands there, not the image's",
        )  # fmt: skip


def _special(subject: Subject, profile: Profile) -> Iterator[Finding]:
    lost = {Support.NO: (FileType.FIFO, *_DEVICES), Support.PARTIAL: _DEVICES}.get(profile.files.special, ())
    special = list(subject.rootfs.entries.of_types(lost))
    hidden = {entry.path for entry in _below(special, profile.files.hidden)}
    found = [entry for entry in special if entry.path not in hidden]
    if found:
        yield finding_about_all(
            "OCC036", Severity.WARNING, found,
            f"{len(found)} FIFOs or devices do not work on {profile.title}: {_named(found)}",
        )  # fmt: skip


def _users(program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    if subject.uid == 0:
        return
    closed = _closed(subject)
    if profile.files.users is Support.NO:
        opened = f", and can read {len(closed)} files that this user could not" if closed else ""
        yield finding_about_all(
            "OCC037", Severity.NOTE, closed,
            f"the image runs as user {subject.uid}, but on {profile.title} the program is root{opened}",
        )  # fmt: skip
        return
    known = {entry.path for entry in program.files}
    for entry in [entry for entry in closed if entry.path in known]:
        yield finding_about(
            "OCC012", Severity.WARNING, entry,
            f"cannot be read by user {subject.uid}, who runs the image: opening it fails with EACCES",
            "chmod a+r in the image, and a+x its folders",
        )  # fmt: skip
    others = [entry for entry in closed if entry.path not in known]
    if others:
        yield finding_about_all(
            "OCC012", Severity.NOTE, others,
            f"{len(others)} other files cannot be read by user {subject.uid}, who runs the image: "
            f"{_named(others)}",
        )  # fmt: skip


def _closed(subject: Subject) -> list[Entry]:
    """Return the files that the image's user cannot open. Folders come before what is in them."""
    searchable: dict[str, bool] = {}
    closed = []
    for entry in subject.rootfs.entries:
        reached = searchable.get(entry.path.rpartition("/")[0], True)
        if entry.type is FileType.DIRECTORY:
            searchable[entry.path] = reached and subject.may(entry, 0o1)
        elif entry.type is FileType.REGULAR and not (reached and subject.may(entry, 0o4)):
            closed.append(entry)
    return closed


def _imports(program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    openers, text = _importers(program, frozenset({"dlopen"}))
    if openers:
        yield finding_about_all(
            "OCC038", Severity.NOTE, openers,
            f"{text}: libraries that are opened by name were not looked at",
        )  # fmt: skip
    sharers, text = _importers(program, SHARED_MEMORY)
    if sharers and profile.files.shared_memory in (Support.NO, Support.PARTIAL):
        missing = profile.files.shared_memory is Support.NO
        yield finding_about_all(
            "OCC039", Severity.WARNING if missing else Severity.NOTE, sharers,
            f"{text}: sharing memory with other processes {'does not work' if missing else 'works in part'} "
            f"on {profile.title}",
        )  # fmt: skip
    resolvers, text = _importers(program, RESOLVERS)
    configured = subject.rootfs.find(_RESOLVER_FILE)
    if (
        resolvers
        and profile.syscalls.serves("socket")
        and _RESOLVER_FILE not in profile.files.rewritten
        and not (configured and configured.size)
    ):
        yield finding_about_all(
            "OCC040", Severity.WARNING, resolvers,
            f"{text}: the image has no /{_RESOLVER_FILE}, and {profile.title} makes none",
            f"put a /{_RESOLVER_FILE} into the image",
        )  # fmt: skip


def _importers(program: Program, names: frozenset[str]) -> tuple[list[Entry], str]:
    """Return the files that import one of the functions, and a text that says so."""
    files = [program.executable] if program.executable else []
    found = [
        entry
        for entry in (*files, *program.libraries)
        if entry.elf is not None and not names.isdisjoint(entry.elf.imports)
    ]
    imported = sorted({name for entry in found if entry.elf for name in names & {*entry.elf.imports}})
    return found, f"{_named(found)} {'imports' if len(found) == 1 else 'import'} {', '.join(imported)}"


def _below(entries: Iterable[Entry], folders: Sequence[str]) -> list[Entry]:
    """Return the entries at or below one of the folders."""
    prefixes = tuple(f"{folder}/" for folder in folders)
    return [entry for entry in entries if f"{entry.path}/".startswith(prefixes)]


def _contents(subject: Subject, folders: Sequence[str]) -> list[Entry]:
    """Return the files with content at or below the folders."""
    return [
        entry
        for entry in subject.rootfs.entries.below(folders)
        if entry.type is FileType.REGULAR and entry.size
    ]


def _named(entries: Sequence[Entry]) -> str:
    return listed(map(name_of, entries))
