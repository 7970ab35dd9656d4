"""Rules about what the image's command line makes the program do: start others, or serve a network."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from enclavize.compat.launchers import LAUNCHERS, command_behind
from enclavize.compat.profile import Support
from enclavize.compat.program import CommandPath
from enclavize.compat.report import Severity
from enclavize.compat.scripts import FORKING_SHELLS, script_of
from enclavize.compat.service_rules import health_findings, prefork_findings
from enclavize.compat.shell import Kind, first_start
from enclavize.compat.stated import wants_zgc
from enclavize.compat.symbols import CLIENTS
from enclavize.compat.wording import error_about, finding_about, finding_about_all, listed, name_of
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enclavize.compat.profile import Profile
    from enclavize.compat.program import Program
    from enclavize.compat.report import Finding
    from enclavize.compat.shell import Start
    from enclavize.compat.subject import Subject
    from enclavize.rootfs.entry import Entry


_FIRST_UNPRIVILEGED_PORT = 1024
"""net.ipv4.ip_unprivileged_port_start of Linux, if nobody changes it."""

_BUSYBOX_ITSELF = frozenset(
    {
        "adjtimex", "arch", "basename", "clear", "dirname", "echo", "false", "free", "fsync", "hostid",
        "kill", "killall", "killall5", "link", "logname", "mesg", "mkdir", "nproc", "printenv", "printf",
        "pwd", "pwdx", "readlink", "realpath", "rm", "rmdir", "sleep", "sync", "test", "touch", "true",
        "truncate", "tty", "ttysize", "uname", "unlink", "usleep", "which", "whoami",
    }
)  # fmt: skip
"""Applets that its shell may run without a new process (NOFORK in include/applets.src.h of busybox)."""

_TCP, _UDP = "tcp", "udp"


def start_findings(program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    """Apply the rules."""
    if program.executable is None or program.executable.elf is None:
        return
    yield from _launcher(program.executable, program, subject, profile)
    yield from _shell(program.executable, program, subject, profile)
    yield from prefork_findings(program.executable, subject, profile)
    yield from health_findings(subject, profile)
    yield from _ports(program.executable, program, subject.ports, profile)
    if profile.syscalls.network_policy is Support.YES:
        yield from _network(program, subject.ports)
    if wants_zgc(subject.arguments, subject.environment):
        yield finding_about(
            "OCC055", Severity.WARNING, program.executable,
            "is asked for ZGC (-XX:+UseZGC), whose heap lies at addresses that no enclave has",
            "another collector: -XX:+UseG1GC, -XX:+UseShenandoahGC",
        )  # fmt: skip


def _launcher(executable: Entry, program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    name = posixpath.basename(subject.arguments[0])
    launcher = LAUNCHERS.get(name)
    if launcher is None or program.scripts:
        return
    rest = command_behind(launcher, subject.arguments[1:])
    command = rest[0] if rest else ""
    needed = (profile.process.fork,) if launcher.forks else (profile.process.exec,)
    if command and all(support is Support.NO for support in needed):
        call = "fork" if launcher.forks else "execve"
        yield error_about(
            "OCC050", executable,
            f"starts {printable(command)}, for which {profile.title} has no {call}",
            f"make {printable(command)} the entrypoint, without {name}",
        )  # fmt: skip


def _shell(executable: Entry, program: Program, subject: Subject, profile: Profile) -> Iterator[Finding]:
    family = posixpath.basename(executable.path)
    script = script_of(program, subject.arguments, subject.rootfs, subject.working_directory)
    if script is None:
        return

    path = CommandPath(subject.rootfs, subject.working_directory, subject.environment.get("PATH", ""))

    def finds(name: str) -> bool:
        found = path.find(name)
        return found is not None and not (_same(found, executable) and name in _BUSYBOX_ITSELF)

    process = profile.process
    forks = (process.fork, process.spawn) if _spawns(executable) else (process.fork,)
    child = forks if family in FORKING_SHELLS else (process.fork, process.vfork)
    needed = {
        Kind.FORK: forks,
        Kind.COMMAND: child,
        Kind.LAST: (process.fork, process.vfork, process.exec),
        Kind.EXEC: (process.exec,),
    }
    # Of busybox, only static builds have a shell that does without links to itself (FEATURE_SH_STANDALONE).
    alone = family == "busybox" and executable.elf is not None and executable.elf.static

    def served(start: Start) -> bool:
        if start.kind is Kind.LAST and alone and _same(path.find(start.what), executable):
            return True  # the shell may become it without execve
        return any(support is not Support.NO for support in needed[start.kind])

    start = first_start(
        script.text, finds, served=served, parameters=bool(script.parameters), replaces=not program.scripts
    )
    if start:
        call = "execve" if start.kind is Kind.EXEC else "fork"
        remedy = "make the program that does the work the entrypoint, without a shell"
        if process.spawn is Support.YES and start.kind is not Kind.EXEC:
            remedy += ", or take a bash that does without fork ('enclavize explain OCC050')"
        yield error_about(
            "OCC050", program.scripts[0] if program.scripts else executable,
            f"cannot do without {printable(start.what)}; {profile.title} has no {call}", remedy,
        )  # fmt: skip


def _spawns(shell: Entry) -> bool:
    """Tell whether it is Occlum's bash, which makes its children by posix_spawn; no other bash imports that.

    Source: github.com/occlum/bash, branch bash_5.1_for_occlum, make_child_without_fork in jobs.c.
    """
    imports = shell.elf.imports if shell.elf else ()
    return posixpath.basename(shell.path) == "bash" and "posix_spawn" in imports


def _same(entry: Entry | None, other: Entry) -> bool:
    """Tell whether two names are of one file."""
    return entry is not None and entry.data_path == other.data_path


def _ports(executable: Entry, program: Program, ports: Sequence[str], profile: Profile) -> Iterator[Finding]:
    if profile.syscalls.serves("socket"):
        return
    imports = {name for entry in program.files if entry.elf for name in entry.elf.imports}
    needs = {_TCP: "listen", _UDP: "bind"}
    for port in ports:
        need = needs.get(port.partition("/")[2] or _TCP)
        # A static program imports nothing, whatever it does.
        if need and executable.elf and (executable.elf.static or need in imports):
            yield error_about(
                "OCC051", executable,
                f"is to serve port {printable(port)}, which the image exposes; there are no sockets on "
                f"{profile.title}",
                "choose a LibOS with sockets; for an image that does not serve, leave out EXPOSE",
            )  # fmt: skip
            return


def _is_privileged(port: str) -> bool:
    first = re.match(r"[0-9]{1,5}", port, re.ASCII)
    return first is not None and int(first[0]) < _FIRST_UNPRIVILEGED_PORT


def _network(program: Program, ports: Sequence[str]) -> Iterator[Finding]:
    if ports:
        yield finding_about_all(
            "OCC053", Severity.NOTE, [],
            f"the image exposes {', '.join(map(printable, ports))}: it is built with --allow-network all",
            "--allow-network loopback or none, if the program is to have less",
        )  # fmt: skip
        if low := [printable(port) for port in ports if _is_privileged(port)]:
            yield finding_about_all(
                "OCC053", Severity.NOTE, [],
                f"who may have port {listed(low)} is for the host's kernel to say, whoever the program is "
                "inside; docker and enclavize run allow it in a network of the container's own",
                "elsewhere, serve a port above 1023, or give the container CAP_NET_BIND_SERVICE",
            )  # fmt: skip
        return
    imports = {entry.path: CLIENTS.intersection(entry.elf.imports) for entry in program.files if entry.elf}
    clients = [entry for entry in program.files if imports.get(entry.path)]
    if clients:
        names = sorted(imports[clients[0].path])
        yield finding_about_all(
            "OCC053", Severity.NOTE, clients,
            f"{name_of(clients[0])} imports {listed(names)}, and the image exposes no port: it is built with "
            "--allow-network loopback",
            "--allow-network all, if the program is to reach other machines",
        )  # fmt: skip
