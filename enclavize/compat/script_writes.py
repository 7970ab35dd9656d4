"""Scripts that write to folders of the image, which a LibOS may keep as they were measured."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from enclavize.compat.profile import Support
from enclavize.compat.report import Finding, Severity
from enclavize.compat.wording import listed
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.stages import Stage
    from enclavize.compat.subject import Subject


def write_findings(stage: Stage, subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell of files that a script means to make where nothing can be made.

    It is an error where the script certainly ends with that. ``mkdir`` alone is none: under an engine whose
    root can be written the host makes the folder.
    """
    if profile.files.writable is not Support.NO or stage.script is None:
        return
    closed: dict[str, bool] = {}
    for command in stage.commands:
        makes_folders = posixpath.basename(command.words[0]) == "mkdir"
        for path in command.writes:
            if makes_folders and _is_folder(path, subject):
                continue
            if not _is_beside(path, profile) and subject.cannot_make(path, profile.files):
                fails = stage.fails_with(command) and (not makes_folders or path in command.written)
                closed[path] = closed.get(path, False) or fails
    if not closed:
        return
    started = stage.program.started
    # What is opened by a build is a folder.
    folders = dict.fromkeys(
        path if subject.rootfs.find(path) is None else posixpath.dirname(path) for path in closed
    )
    yield Finding(
        code="OCC059",
        severity=Severity.ERROR if any(closed.values()) else Severity.WARNING,
        path=started.path if started else "",
        message=f"{printable(stage.name)} writes to {printable(listed(closed))}, and {profile.title} keeps "
        "the image's files as they are",
        remedy=" ".join(f"--tmpfs {printable(folder)}" for folder in folders)
        + " for what it alone needs, --volume for what others are to read",
    )


def _is_folder(path: str, subject: Subject) -> bool:
    entry = subject.rootfs.find(path)
    return entry is not None and entry.type is FileType.DIRECTORY


def _is_beside(path: str, profile: Profile) -> bool:
    """Tell whether a file is none of the image: a device, or one of ``/proc``."""
    return any(f"{path}/".startswith(f"/{folder}/") for folder in profile.files.hidden)
