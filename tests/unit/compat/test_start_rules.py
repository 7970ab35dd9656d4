"""What a command line makes a program start, and what is not known of it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.compat.profile import Profile, profile_for
from enclavize.compat.report import Finding
from enclavize.compat.rules import check
from enclavize.compat.shell import MAX_SCRIPT_SIZE, Kind, first_start
from enclavize.compat.subject import Subject
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.layer import KEEP_SCRIPT_SIZE
from enclavize.rootfs.tree import Rootfs
from support.entries import program, script
from support.images import file
from support.indexing import index_layers

if TYPE_CHECKING:
    from enclavize.oci.image import Image

IN_PATH = frozenset({"ls", "cat", "id", "gosu", "nginx", "sleep"})

STARTS = [
    ("ls", Kind.LAST, "ls"),
    ("ls; echo a", Kind.COMMAND, "ls"),
    ("echo a; ls", Kind.LAST, "ls"),
    ("A=1 B=2 ls -l 2>&1", Kind.LAST, "ls"),
    ("2>/dev/null ls", Kind.LAST, "ls"),
    ("/opt/app --serve; :", Kind.COMMAND, "/opt/app"),
    ('nginx -g "daemon off;"', Kind.LAST, "nginx"),
    ("exec ls", Kind.EXEC, "exec ls"),
    ("exec $JAVA -jar a.jar", Kind.EXEC, "exec ..."),
    ("cat a | echo", Kind.FORK, "a pipeline"),
    ("x=$(id)", Kind.FORK, "a command substitution"),
    ("x=`id`", Kind.FORK, "a command substitution"),
    ('echo "a $(id) b"', Kind.FORK, "a command substitution"),
    ("a=(1 $(id))", Kind.FORK, "a command substitution"),
    ("echo a > $(id)", Kind.FORK, "a command substitution"),
    ("for i in $(ls); do :; done", Kind.FORK, "a command substitution"),
    ("case $(id) in a) ;; esac", Kind.FORK, "a command substitution"),
    ("(echo a)", Kind.FORK, "a subshell"),
    ("echo a & echo b", Kind.FORK, "a command in the background"),
    ("if ls; then :; fi", Kind.COMMAND, "ls"),
    ("while ls; do :; done", Kind.COMMAND, "ls"),
    ("while true; do sleep 1; done", Kind.COMMAND, "sleep"),
    ("if true; then ls; else exec nginx; fi", Kind.COMMAND, "ls"),
    ("if true; then ls; elif :; then cat; else nginx; fi", Kind.COMMAND, "ls"),
    ("case $1 in a|b) ls;; *) cat;; esac", Kind.COMMAND, "ls"),
    ("[ -f x ] || exit 1\nls", Kind.LAST, "ls"),
    ("[[ $a == (x|y) && -n $b ]] && echo; ls", Kind.LAST, "ls"),
    ("main() {\n  ls\n}\n\nmain", Kind.COMMAND, "ls"),
    ("function main { ls; }; main", Kind.COMMAND, "ls"),
    ("cat <<EOF\n$(id) | ls\nEOF\necho", Kind.COMMAND, "cat"),
    ("# comment\n\nset -eu\n\nls # another\n", Kind.LAST, "ls"),
    ("! ls", Kind.LAST, "ls"),
]

DOUBLINGS = "".join(f"f{n}() {{ f{n - 1}; f{n - 1}; }}; " for n in range(1, 35))
MANY_CALLS = f"f0() {{ :; }}; {DOUBLINGS} f34"

UNKNOWN = [
    "", "echo a", "echo '$(id)'", "echo \\$\\(id\\)", "echo $((6 * 7)) ${x:-$(id)}", "x=1",
    "a=(1 2); echo ${#a[@]}",
    "if [ -f x ]; then ls; fi", "[ -f x ] && ls", "[ -f x ] || ls", "case $1 in a) ls;; b) cat;; esac",
    "for i in 1 2; do ls; done", "while read line; do echo $line; done < /etc/passwd",
    "while :; do if read x; then break; fi; ls; done", "while true && read x; do ls; done",
    "until true; do ls; done", MANY_CALLS,
    "[ -f x ] || exit 0\nls", "exit\nls", "if [ -f x ]; then exit 0; fi; ls",
    '"$@"', "$COMMAND", 'exec "$@"', "exec $NOTHING", "exec 2>&1", "./a/$x; ls", "eval ls; ls",
    ". /etc/profile; ls",
    "f() { ls; }", "f() { return; }\nf\nls", "command -v ls", "command ls", "missing; echo a",
    "echo <<EOF\nls | ls\nEOF\n", "((i++)); ls", "ls () { echo; }; ls",
    'echo "open', "echo 'open", "echo $(open", "if true; then ls", "fi", "ls )", "cat <<EOF\nnever closed",
    "{ ls",
    "case a in", "for", "ls\n" * MAX_SCRIPT_SIZE, "{ " * 5000, "f() { f; }; f", "\0",
]  # fmt: skip


@pytest.mark.parametrize(("script", "kind", "what"), STARTS)
def test_what_a_script_cannot_do_without_is_told(script: str, kind: Kind, what: str) -> None:
    start = first_start(script, IN_PATH.__contains__)
    assert start
    assert (start.kind, start.what) == (kind, what)


@pytest.mark.parametrize("script", UNKNOWN, ids=range(len(UNKNOWN)))
def test_what_depends_on_data_or_is_not_understood_is_not_told(script: str) -> None:
    assert first_start(script, IN_PATH.__contains__) is None


@settings(deadline=None)
@given(st.text(alphabet="ls; \n\"'`$(){}[]<>|&\\\\#=!*?ifthenfidoesac", max_size=300))
def test_no_text_makes_the_reader_fail(script: str) -> None:
    first_start(script, IN_PATH.__contains__)


def test_parameters_make_exec_certain() -> None:
    entrypoint = 'set -e\nif [ "${1#-}" != "$1" ]; then\n\tset -- nginx "$@"\nfi\nexec "$@"\n'
    start = first_start(entrypoint, IN_PATH.__contains__, parameters=True)
    assert start
    assert start.kind is Kind.EXEC


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target)


def without_sockets() -> Profile:
    """Return the profile of a LibOS that has none."""
    profile = profile_for("builtin")
    calls = profile.syscalls
    return replace(profile, syscalls=replace(calls, partial=calls.partial - {"socket"}))


def findings(
    libos: str | Profile,
    *command: str,
    ports: tuple[str, ...] = (),
    wanted: frozenset[str],
    variables: dict[str, str] | None = None,
    health: tuple[str, ...] = (),
) -> list[Finding]:
    """Check the command in an image with three shells, launchers and servers."""
    entries = (
        Entry(path="bin", type=FileType.DIRECTORY, mode=0o755),
        *(program(f"bin/{name}") for name in ("bash", "busybox", "dash", "ls", "mksh")),
        *(program(f"bin/{name}") for name in ("tini", "env", "gosu", "timeout", "nginx", "postgres")),
        program("bin/server", static=False, imports=("bind", "listen")),
        program("bin/client", static=False, imports=("connect", "socket")),
        link("bin/sh", "busybox"), link("bin/cat", "busybox"), link("bin/echo", "busybox"),
        script("bin/run", "#!/bin/bash\nls; echo a\n"),
        script("bin/entry", '#!/bin/dash\nexec "$@"\n'),
        script("bin/gunicorn", "#!/bin/python3\n"), link("bin/workers", "gunicorn"), program("bin/python3"),
        program("bin/setpriv"),
        program("spawning/bash", static=False, imports=("fork", "posix_spawn")),
        program("spawning/dash", static=False, imports=("fork", "posix_spawn")),
        program("forking/bash", static=False, imports=("fork", "execve")),
    )  # fmt: skip
    subject = Subject(
        rootfs=Rootfs(entries, merkle_reader=lambda _entry: b""),
        arguments=command,
        working_directory="/",
        environment={"PATH": "/bin", **(variables or {})},
        uid=0,
        gids=frozenset({0}),
        ports=ports,
        health=health,
    )
    profile = profile_for(libos) if isinstance(libos, str) else libos
    report = check(subject, cast("Image", SimpleNamespace(name="image")), profile)
    return [finding for finding in report.findings if finding.code in wanted]


def codes(
    libos: str | Profile,
    *command: str,
    ports: tuple[str, ...] = (),
    wanted: frozenset[str] = frozenset({"OCC050", "OCC051", "OCC054"}),
    variables: dict[str, str] | None = None,
) -> set[str]:
    """Return the codes alone."""
    found = findings(libos, *command, ports=ports, wanted=wanted, variables=variables)
    return {finding.code for finding in found}


@pytest.mark.parametrize(
    ("command", "vforks"),
    [
        (("bash", "-c", "ls"), set()),  # it becomes the command
        (("bash", "-c", "ls; echo a"), {"OCC050"}),
        (("bash", "-euo", "pipefail", "-c", "ls"), set()),
        (("bash", "--", "/bin/run"), {"OCC050"}),
        (("dash", "/bin/run"), set()),  # simple commands by vfork
        (("dash", "-c", "ls; sleep 1 & wait"), {"OCC050"}),
        (("dash", "-c", "ls && echo a; echo $(ls) | bash"), {"OCC050"}),
        (("dash", "-c", "ls; exec ls; echo | bash"), set()),
        (("dash", "-c", "if ls; then exit; fi; echo | bash"), set()),
        (("run",), {"OCC050"}),
        (("entry", "ls"), set()),
        (("sh", "-c", "/bin/ls"), set()),
        (("busybox", "sh", "-c", "cat; :"), {"OCC050"}),
        (("tini", "--", "ls"), {"OCC050"}),
        (("tini", "-p", "SIGTERM", "ls"), {"OCC050"}),
        (("env", "A=1", "-u", "B", "ls"), set()),
        (("gosu", "user", "ls"), set()),
        (("timeout", "-k", "1", "5", "ls"), {"OCC050"}),
        (("nginx", "-g", "daemon off;"), {"OCC050"}),
        (("postgres", "-D", "/data"), {"OCC050"}),
    ],
)
def test_commands_that_need_a_process_are_errors_where_it_cannot_be_made(
    command: tuple[str, ...], vforks: set[str]
) -> None:
    assert codes("occlum@0.31.0", *command) == vforks
    assert codes("occlum@0.21.0", *command) == {"OCC050"}
    assert codes("builtin", *command) <= {"OCC054"}
    assert codes("gramine", *command) == set()


@pytest.mark.parametrize(
    "command",
    [
        ("bash",), ("bash", "-c", "echo a"), ("bash", "-s"), ("bash", "-n", "-c", "ls"), ("bash", "-c"),
        ("bash", "/bin/missing"), ("sh", "-c", "cat"), ("busybox", "ls"), ("sh", "-c", "echo a; echo b"),
        ("entry",), ("tini", "--version"), ("env",), ("env", "A=1"), ("gosu", "user"), ("timeout", "5"),
        ("ls",), ("nginx", "-g", "daemon off; master_process off;"),
    ],
)  # fmt: skip
def test_commands_that_may_do_with_one_process_are_none(command: tuple[str, ...]) -> None:
    assert codes("builtin", *command) == set()


def test_servers_with_workers_are_told_of_turns() -> None:
    assert codes("builtin", "nginx", "-g", "daemon off;") == {"OCC054"}
    assert codes("builtin", "postgres", "-D", "/data") == {"OCC054"}
    assert codes("builtin", "nginx", "-g", "daemon off; master_process off;") == set()
    assert codes("builtin", "bash", "-c", "ls; ls") == set()


@pytest.mark.parametrize(
    "command",
    [
        ("entry", "postgres"), ("tini", "--", "entry", "postgres"), ("gosu", "user", "postgres", "-D", "/"),
        ("setpriv", "--reuid=1", "nginx"), ("workers", "-w", "4"), ("python3", "-m", "gunicorn", "app"),
        ("entry", "apache2-foreground"), ("tini", "env", "A=1", "php-fpm8.2"),
    ],
)  # fmt: skip
def test_servers_behind_entrypoints_and_launchers_are_told_of_turns(command: tuple[str, ...]) -> None:
    assert codes("builtin", *command, wanted=frozenset({"OCC054"})) == {"OCC054"}
    assert codes("gramine", *command, wanted=frozenset({"OCC054"})) == set()


@pytest.mark.parametrize(
    "command",
    [("entry", "server"), ("ls", "nginx"), ("tini", "--", "ls", "postgres"), ("python3", "-m", "app")],
)
def test_names_of_servers_that_are_not_started_say_nothing(command: tuple[str, ...]) -> None:
    assert codes("builtin", *command, wanted=frozenset({"OCC054"})) == set()


def test_what_becomes_of_a_health_check() -> None:
    wanted = frozenset({"OCC056"})

    def told(libos: str, *health: str) -> list[tuple[str, str]]:
        found = findings(libos, "ls", wanted=wanted, health=health)
        return [(finding.severity.value, finding.message + finding.remedy) for finding in found]

    assert told("builtin") == told("occlum") == []
    ((severity, said),) = told("builtin", "server", "--check")
    assert severity == "note"
    assert "/bin/server" in said
    assert "--allow-exec" in said
    ((severity, said),) = told("builtin", "curl", "-f", "http://localhost")
    assert severity == "warning"
    assert "curl" in said
    for libos in ("occlum", "gramine"):
        ((severity, said),) = told(libos, "server", "--check")
        assert severity == "warning"
        assert "takes no commands from outside" in said


def test_shells_differ_in_how_they_start_a_command() -> None:
    assert codes("occlum@0.31.0", "dash", "-c", "ls; ls") == set()  # vfork, which there is since 0.24
    assert codes("occlum@0.31.0", "mksh", "-c", "ls; ls") == set()  # nobody knows which one it takes
    assert codes("occlum@0.21.0", "mksh", "-c", "ls; ls") == {"OCC050"}
    assert codes("occlum@0.31.0", "dash", "-c", "(ls); ls") == {"OCC050"}
    assert codes("occlum@0.31.0", "bash", "-c", "ls; ls") == {"OCC050"}
    assert codes("occlum@0.31.0", "bash", "-c", "ls") == set()  # execve alone


def test_occlums_own_bash_needs_no_fork() -> None:
    commands = ("ls; ls", "ls | cat", "echo $(ls)", "(ls); ls", "ls & wait")
    for text in commands:
        assert codes("occlum@0.31.0", "/spawning/bash", "-c", text) == set()
        assert codes("occlum@0.31.0", "/forking/bash", "-c", text) == {"OCC050"}
        # Nobody knows how another shell that imports posix_spawn makes what is no command.
        assert codes("occlum@0.31.0", "/spawning/dash", "-c", "(ls); ls") == {"OCC050"}
    (finding,) = findings("occlum@0.31.0", "bash", "-c", "ls | cat", wanted=frozenset({"OCC050"}))
    assert "a bash that does without fork" in finding.remedy
    (finding,) = findings("occlum@0.21.0", "bash", "-c", "exec ls", wanted=frozenset({"OCC050"}))
    assert "a bash that" not in finding.remedy


def test_a_port_is_an_error_for_what_can_listen_where_there_are_no_sockets() -> None:
    none = without_sockets()
    assert codes(none, "server", ports=("80/tcp",)) == {"OCC051"}
    assert codes(none, "server", ports=("53/udp",)) == {"OCC051"}
    assert codes(none, "server", ports=("53",)) == {"OCC051"}
    assert codes(none, "ls", ports=("80/tcp",)) == {"OCC051"}  # static: what it imports is not known
    assert codes(none, "client", ports=("80/tcp",)) == set()
    assert codes(none, "server") == set()
    assert codes("builtin", "server", ports=("80/tcp",)) == set()
    assert codes("gramine", "server", ports=("80/tcp",)) == set()


def test_what_a_build_decides_about_the_network_is_told() -> None:
    wanted = frozenset({"OCC053"})
    assert codes("builtin", "server", ports=("80/tcp",), wanted=wanted) == wanted
    assert len(findings("builtin", "server", ports=("8080/tcp", "x"), wanted=wanted)) == 1
    _, low = findings("builtin", "server", ports=("8080/tcp", "443-444/tcp"), wanted=wanted)
    assert "who may have port 443-444/tcp" in low.message
    assert codes("builtin", "client", wanted=wanted) == wanted
    assert codes("builtin", "server", wanted=wanted) == set()
    assert codes("gramine", "client", wanted=wanted) == set()


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        (("-XX:+UseZGC", "-jar", "a.jar"), {}, {"OCC055"}),
        (("-XX:-UseZGC",), {}, set()),
        (("-XX:+UseZGC", "-XX:-UseZGC"), {}, set()),
        (("-XX:+UseZGCRoots",), {}, set()),
        ((), {"JAVA_TOOL_OPTIONS": "-Xmx1g -XX:+UseZGC"}, {"OCC055"}),
        ((), {"OTHER": "-XX:+UseZGC"}, set()),
    ],
)
def test_a_collector_whose_heap_no_enclave_has_is_told(
    arguments: tuple[str, ...], variables: dict[str, str], expected: set[str]
) -> None:
    wanted = frozenset({"OCC055"})
    for libos in ("builtin", "gramine"):
        assert codes(libos, "ls", *arguments, variables=variables, wanted=wanted) == expected


def test_an_index_keeps_the_scripts_of_shells_and_no_others(tmp_path: Path) -> None:
    long = "#!/bin/sh\n" + "# a comment\n" * (KEEP_SCRIPT_SIZE // 10)
    text = "print('long enough not to be kept for its size')\n" * 2
    members = [
        file("sh", f"#!/bin/sh\n{text}"),
        file("bash", f"#! /usr/bin/env bash\n{text}"),
        file("ash", f"#!/bin/busybox ash\n{text}"),
        file("python", f"#!/usr/bin/python3\n{text}"),
        file("plain", text),
        file("long", long),
    ]
    rootfs = index_layers(tmp_path, [members])
    assert {entry.path for entry in rootfs.entries if entry.content is not None} == {"sh", "bash", "ash"}
