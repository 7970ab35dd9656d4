"""Rules about services: servers that fork their workers, and what engines start beside the program."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from enclavize.compat.nginx import works_alone
from enclavize.compat.profile import Support
from enclavize.compat.program import find_program
from enclavize.compat.report import Severity
from enclavize.compat.wording import error_about, finding_about, finding_about_all
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.report import Finding
    from enclavize.compat.stages import Stage
    from enclavize.compat.subject import Subject
    from enclavize.rootfs.entry import Entry

_PREFORK = re.compile(
    r"nginx|apache2|httpd|php-fpm[\d.]*|postgres|postmaster|gunicorn|uwsgi|unicorn|celery"
    r"|apache2ctl|apachectl|httpd-foreground|apache2-foreground"
)
"""Servers whose first process forks those that do the work, and scripts that become one."""

_PYTHON = re.compile(r"python[\d.]*")


def server_names(stage: Stage) -> list[str]:
    """Return the names by which a step is known: the program's, its script's, that of a module of Python."""
    program, words = stage.program, stage.arguments
    files = [*([program.executable] if program.executable else []), *program.scripts]
    names = [posixpath.basename(path) for path in (*(entry.path for entry in files), words[0])]
    if words[1:2] == ("-m",) and _PYTHON.fullmatch(names[0]):
        names += words[2:3]
    return names


def _server_of(subject: Subject) -> str:
    """Return the name of the server that forks: the program, or what launchers and entrypoints are given."""
    names = (name for stage in subject.stages for name in server_names(stage))
    return next((name for name in names if _PREFORK.fullmatch(name)), "")


def prefork_findings(executable: Entry, subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell of workers that take turns, or cannot be forked at all."""
    process = profile.process
    name = _server_of(subject)
    if not name or Support.NO not in (process.fork, process.parallel):
        return
    remedy = "choose a LibOS with fork" if process.fork is Support.NO else ""
    if name == "nginx":
        if any(works_alone(subject.nginx(stage.arguments)) for stage in subject.stages):
            return
        remedy = "let it work in one process: master_process off; in nginx.conf, or by -g"
    is_itself = name == posixpath.basename(executable.path)
    does = f"{'forks' if is_itself else f'starts {name}, which forks'} processes that do the work"
    if process.fork is not Support.NO:
        yield finding_about(
            "OCC054", Severity.WARNING, executable,
            f"{does}, which take turns on one processor in {profile.title}", remedy,
        )  # fmt: skip
    elif is_itself:
        yield error_about("OCC050", executable, f"{does}; {profile.title} has no fork", remedy)


def health_findings(subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Tell what becomes of the health check, and of other commands that engines may start."""
    if not subject.health:
        return
    said = printable(shlex.join(subject.health))
    if profile.process.commands is Support.NO:
        yield finding_about_all(
            "OCC056", Severity.WARNING, [],
            f"the image's health check, {said}, cannot run: {profile.title} takes no commands from outside",
            "let the engine look at a port",
        )  # fmt: skip
        return
    program = find_program(subject.rootfs, subject.health[0], subject.working_directory, subject.environment)
    if program.executable is None:
        missing = program.missing_executable
        yield finding_about_all(
            "OCC056", Severity.WARNING, [],
            f"the image's health check, {said}, cannot run: {missing.wanted if missing else ''!r} is not a "
            "file of the image, so engines will call the container unhealthy",
            "correct HEALTHCHECK, or add the program to the image",
        )  # fmt: skip
        return
    yield finding_about(
        "OCC056", Severity.NOTE, program.executable,
        f"is the image's health check ({said}) or runs it: it is measured, and each run takes a thread; "
        "all other commands from outside, such as exec probes of Kubernetes and docker exec, are refused",
        "build --allow-exec 'COMMAND ARGUMENT...' for each one that is to run",
    )  # fmt: skip
