"""What an entrypoint comes to, for whom, and what a LibOS lacks for it."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from enclavize.compat.profile import profile_for
from enclavize.compat.report import Severity
from enclavize.compat.rules import check
from enclavize.compat.subject import Subject
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import Rootfs
from support.entries import program, script
from support.entrypoints import REDIS

if TYPE_CHECKING:
    from enclavize.compat.report import Finding
    from enclavize.oci.image import Image


def folder(path: str, uid: int = 0, mode: int = 0o755) -> Entry:
    return Entry(path=path, type=FileType.DIRECTORY, mode=mode, uid=uid)


def text(path: str, content: str) -> Entry:
    raw = content.encode()
    return Entry(path=path, type=FileType.REGULAR, mode=0o644, size=len(raw), content=raw)


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target)


NAMES = (
    "sh", "ls", "id", "cat", "find", "setpriv", "gosu", "touch", "nginx", "pandoc", "postgres",
    "redis-server", "dart", "dprint", "buf", "cp", "su", "runuser", "sudo", "setsid", "numactl", "taskset",
)  # fmt: skip


def findings(
    libos: str,
    *command: str,
    uid: int = 0,
    writable: tuple[str, ...] = (),
    more: tuple[Entry, ...] = (),
    variables: dict[str, str] | None = None,
) -> list[tuple[str, Severity]]:
    entries = [folder(name) for name in ("bin", "var", "var/log")]
    entries += [program(f"bin/{name}") for name in NAMES if name != "sh"]
    entries += [
        program("bin/dash"),
        link("bin/sh", "dash"),
        program("bin/python3"),
        program("bin/ruby3.1"),
        *more,
    ]
    subject = Subject(
        rootfs=Rootfs(tuple(entries), merkle_reader=lambda _entry: b""), arguments=command,
        working_directory="/", environment={"PATH": "/bin", **(variables or {})}, uid=uid,
        gids=frozenset({uid}), writable=writable,
    )  # fmt: skip
    report = check(subject, cast("Image", SimpleNamespace(name="image")), profile_for(libos))
    found: tuple[Finding, ...] = report.findings
    return [(item.code, item.severity) for item in found if item.code >= "OCC057" or item.code in _NOT_FOUND]


LOADER = "/lib/ld-musl-x86_64.so.1"
_NOT_FOUND = ("OCC002", "OCC007")
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


def test_launchers_that_need_what_is_missing_are_errors_if_they_run() -> None:
    run = (script("run.sh", REDIS),)
    assert findings("gramine", "/run.sh", "redis-server", more=run) == [("OCC057", ERROR)]
    assert findings("gramine", "/run.sh", "redis-server", uid=9, more=run) == []
    assert findings("builtin", "/run.sh", "redis-server", more=run) == []
    assert findings("gramine", "setpriv", "--reuid=1", "ls") == [("OCC057", ERROR)]
    assert findings("gramine", "gosu", "redis", "ls") == []  # setuid and setgroups are served
    maybe = (script("run.sh", "#!/bin/sh\n[ -f /x ] && exec setpriv --reuid=1 ls\nexec ls\n"),)
    assert findings("gramine", "/run.sh", more=maybe) == [("OCC057", WARNING)]


LIMITS = "session required pam_limits.so\n"


@pytest.mark.parametrize(
    ("command", "more", "wanted"),
    [
        (("runuser", "-u", "redis", "--", "ls"), (text("etc/pam.d/runuser", LIMITS),), True),
        (("runuser", "-u", "redis", "--", "ls"), (text("etc/pam.d/su", LIMITS),), False),
        (("runuser", "-u", "redis", "ls"), (text("usr/lib/pam.d/runuser", LIMITS),), True),
        (("su", "redis", "-c", "ls"), (text("etc/pam.d/su", LIMITS),), True),
        (
            ("su", "redis", "-c", "ls"),
            (text("etc/pam.d/su", f"# {LIMITS}auth required pam_limits.so\n"),),
            False,
        ),
        (("su", "redis", "-c", "ls"), (text("etc/pam.d/su", "session optional pam_limits.so\n"),), False),
        (
            ("su", "redis"),
            (text("etc/pam.d/su", "@include common\n"), text("etc/pam.d/common", f"@include su\n{LIMITS}")),
            True,
        ),
        (
            ("su", "redis"),
            (text("etc/pam.d/su", "session include other\n"), text("etc/pam.d/other", LIMITS)),
            True,
        ),
        (("sudo", "-u", "redis", "ls"), (), True),
    ],
)
def test_sessions_that_do_not_begin_are_errors(
    command: tuple[str, ...], more: tuple[Entry, ...], wanted: bool
) -> None:
    folders = tuple(map(folder, ("etc", "etc/pam.d", "usr", "usr/lib", "usr/lib/pam.d")))
    assert findings("gramine", *command, more=folders + more) == ([("OCC057", ERROR)] if wanted else [])
    assert findings("builtin", *command, more=folders + more) == []


@pytest.mark.parametrize(
    "command",
    [
        ("su", "redis", "-c", "exec postgres"), ("su", "-s", "/bin/sh", "redis", "-c", "postgres"),
        ("runuser", "redis", "-c", "postgres"), ("runuser", "-u", "redis", "--", "postgres", "-D", "/x"),
        ("setsid", "postgres"), ("taskset", "1", "postgres"),
    ],
)  # fmt: skip
def test_what_launchers_start_is_followed(command: tuple[str, ...]) -> None:
    assert findings("gramine", *command) == [("OCC058", ERROR)]


@pytest.mark.parametrize(
    "command",
    [
        ("postgres",), ("gosu", "a", "postgres", "-D", "/x"), ("/entry", "postgres"),
        ("sh", "-c", "exec postgres"),
        ("/gunicorn", "app"), ("python3", "-m", "gunicorn"), ("touch", "x"),
        ("pandoc", "x"), ("gosu", "a", "dart", "x"),
    ],
)  # fmt: skip
def test_programs_that_are_known_not_to_work_are_errors(command: tuple[str, ...]) -> None:
    more = (script("entry", '#!/bin/sh\nexec "$@"\n'), script("gunicorn", "#!/bin/python3\n"))
    assert findings("gramine", *command, more=more) == [("OCC058", ERROR)]
    assert findings("builtin", *command, more=more) == []


def test_a_program_of_which_only_some_work_fails_is_warned_of() -> None:
    ruby = (script("a.rb", "#!/bin/ruby3.1\n"),)
    assert findings("gramine", "/a.rb", more=ruby) == [("OCC058", WARNING), ("OCC058", NOTE)]
    assert findings("builtin", "/a.rb", more=ruby) == []


def test_an_entrypoint_that_tries_numactl_first_is_warned_of() -> None:
    text = (
        '#!/bin/sh\nif numactl --interleave=all -- true; then set -- numactl -i all -- "$@"; fi\nexec "$@"\n'
    )
    mongo = (script("entry", text),)
    assert findings("builtin", "numactl", "-i", "all", "ls") == [("OCC058", ERROR)]
    assert {severity for _, severity in findings("builtin", "/entry", "ls", more=mongo)} <= {WARNING}


@pytest.mark.parametrize("server", ["apache2", "php-fpm8.2"])
def test_a_program_that_only_says_so_in_its_log_is_noted(server: str) -> None:
    more = (program(f"bin/{server}"),)
    assert findings("gramine", server, more=more) == [("OCC058", NOTE)]
    assert findings("builtin", server, more=more) == []


def test_a_script_that_calls_itself_for_another_user_is_read_again() -> None:
    text = '#!/bin/sh\n[ "$(id -u)" = 0 ] && exec gosu redis "$0" "$@"\nexec "$@"\n'
    assert findings("gramine", "/entry", "postgres", more=(script("entry", text),)) == [("OCC058", ERROR)]


def test_commands_of_a_script_that_fail_are_warnings() -> None:
    run = (script("run.sh", "#!/bin/sh\ntouch /data/x\nls\n"),)
    assert findings("gramine", "/run.sh", more=run) == [("OCC058", WARNING)]


def test_what_an_entrypoint_becomes_is_looked_at() -> None:
    entry = (script("entry", '#!/bin/sh\nexec "$@"\n'),)
    assert findings("gramine", "/entry", "missing", more=entry) == [("OCC002", ERROR)]
    assert findings("gramine", "/entry", "ls", more=entry) == []


def test_folders_that_a_server_writes_to_are_told_until_they_are_opened() -> None:
    more = (folder("var/lib"), folder("var/lib/nginx"), folder("var/log/nginx"))
    assert findings("gramine", "nginx", more=more) == [("OCC059", ERROR)]
    assert findings("gramine", "nginx", more=more, writable=("/var/lib/nginx",)) == [("OCC059", ERROR)]
    assert findings("gramine", "nginx", more=more, writable=("/var/lib", "/var/log/nginx/")) == []
    assert findings("builtin", "nginx", more=more) == []
    assert findings("gramine", "nginx", uid=33, more=more) == []
    logs = (*more, link("var/log/nginx/a.log", "/dev/stdout"), link("var/log/nginx/e.log", "/proc/self/fd/2"))
    assert findings("gramine", "ls", more=logs) == [("OCC061", WARNING)]
    assert findings("gramine", "nginx", more=logs, writable=("/var/lib", "/var/log/nginx")) == []
    assert findings("builtin", "ls", more=logs) == []


OWN = "pid /tmp/p; error_log stderr; http { access_log off; # access_log /var/log/x;\n"
TEMPORARY = "".join(
    f"{kind}_temp_path {{place}}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)


@pytest.mark.parametrize(
    ("configuration", "arguments", "severity"),
    [
        (OWN + TEMPORARY.format(place="/tmp") + "}", (), None),
        (OWN + TEMPORARY.format(place="/srv/cache") + "}", (), ERROR),
        (OWN + "include own.d/*.conf; }", (), None),
        (OWN + "include own.d/a.conf; }", ("-g", "daemon off;"), None),
        (OWN + "include own.d/b.conf; }", (), ERROR),
        (OWN + "}", (), ERROR),
        (OWN.replace("off", "'/srv/logs/a' main") + TEMPORARY.format(place="/tmp") + "}", (), ERROR),
        (TEMPORARY.format(place="/tmp"), (), ERROR),
        (TEMPORARY.format(place="/tmp"), ("-g", "error_log stderr; access_log /dev/stdout x;"), None),
        ("include nginx.conf;", (), ERROR),
    ],
)
def test_nginx_writes_where_its_configuration_says(
    configuration: str, arguments: tuple[str, ...], severity: Severity | None
) -> None:
    more = (
        *map(folder, ("etc", "etc/nginx", "etc/nginx/own.d", "var/lib", "var/lib/nginx", "var/log/nginx")),
        text("etc/nginx/own.d/a.conf", TEMPORARY.format(place="/run")),
    )
    wanted = [("OCC059", severity)] if severity else []
    default = (*more, text("etc/nginx/nginx.conf", configuration))
    assert findings("gramine", "nginx", *arguments, more=default) == wanted
    named = (*more, text("etc/nginx/nginx.conf", ""), text("etc/own.conf", configuration))
    assert findings("gramine", "nginx", "-c", "/etc/own.conf", *arguments, more=named) == (
        wanted if "include own.d" not in configuration else [("OCC059", ERROR)]
    )


def test_folders_of_the_images_user_are_told() -> None:
    more = (folder("srv", 7), folder("srv/below", 7), folder("tmp", 7), folder("opt", 7, 0o500))
    assert findings("gramine", "ls", uid=7, more=more) == [("OCC059", WARNING)]
    assert findings("gramine", "ls", uid=7, more=more, writable=("/srv",)) == []
    assert findings("gramine", "ls", uid=0, more=more) == []
    open_to_all = (folder("srv", 0, 0o777), folder("scratch", 0, 0o1777))
    assert findings("gramine", "ls", uid=0, more=open_to_all) == [("OCC059", WARNING)]
    assert findings("gramine", "ls", uid=0, more=open_to_all, writable=("/srv",)) == []
    assert findings("builtin", "ls", uid=7, more=more) == []


HOME = {"HOME": "/root"}


@pytest.mark.parametrize(
    ("command", "variables", "writable", "severity"),
    [
        ("dprint", HOME, (), ERROR),
        ("dprint", {"HOME": "/"}, (), ERROR),
        ("dprint", HOME, ("/root/.cache/dprint",), None),
        ("dprint", HOME, ("/root",), None),
        ("dprint", {"HOME": "/tmp"}, (), None),
        ("dprint", {**HOME, "XDG_CACHE_HOME": "/tmp/cache"}, (), None),
        ("dprint", {**HOME, "XDG_CACHE_HOME": "/var/cache"}, ("/var/cache",), None),
        ("dprint", {"HOME": "/tmp", "XDG_CACHE_HOME": "/var"}, (), ERROR),
        ("dprint", {**HOME, "DPRINT_CACHE_DIR": "/run/dprint"}, (), None),
        ("dprint", {}, (), None),
        ("buf", HOME, (), WARNING),
        ("ls", HOME, (), None),
    ],
)
def test_caches_below_home_are_told_until_they_are_opened(
    command: str, variables: dict[str, str], writable: tuple[str, ...], severity: Severity | None
) -> None:
    wanted = [("OCC059", severity)] if severity else []
    assert findings("gramine", command, variables=variables, writable=writable) == wanted
    assert findings("builtin", command, variables=variables) == []


def test_who_cannot_write_natively_either_is_not_told() -> None:
    homes = (folder("home"), folder("home/own", 7, 0o700))
    own = {"HOME": "/home/own"}
    found = findings("gramine", "dprint", uid=7, more=homes, variables=own)
    assert found == [("OCC059", ERROR), ("OCC059", WARNING)]
    assert findings("gramine", "dprint", uid=8, more=(folder("root"),), variables=HOME) == []


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("set -e; echo x >/etc/app.conf; ls", ERROR),
        ("set -e; echo x 2>/var/log/app.log; ls", ERROR),
        ("echo x >>/var/log/app.log", ERROR),
        ("set -e; >/var/new; ls", ERROR),
        ("set -e; cp /bin/ls /opt/; ls", ERROR),
        ("set -e; echo x >$HOME/.app; ls", ERROR),
        ('set -e; echo x >"${HOME}/.app"; ls', ERROR),
        ('set -e; echo x >"$HOME"/.app; ls', ERROR),
        ("set -e; echo x >~/.app; ls", ERROR),
        ("export HOME=/tmp; echo x >~/.app; ls", None),
        ("set -e; mkdir -p /var/own; ls", WARNING),
        ("set -e; mkdir -p /var/log; ls", None),
        ("echo x >/etc/app.conf; ls", WARNING),
        ("set -e; echo x >/etc/app.conf || true; ls", WARNING),
        ("set -e; if [ -w /etc ]; then echo x >/etc/app.conf; fi; ls", WARNING),
        ("set -e; echo x 2>/dev/null; ls </etc/app.conf >&3", None),
        ("set -e; echo x >$FILE; ls", None),
    ],
)
def test_scripts_that_write_to_the_images_folders_are_told(text: str, severity: Severity | None) -> None:
    more = (script("run.sh", f"#!/bin/sh\n{text}\n"),)
    wanted = [("OCC059", severity)] if severity else []
    assert findings("gramine", "/run.sh", more=more, variables=HOME) == wanted
    assert findings("builtin", "/run.sh", more=more, variables=HOME) == []
    opened = ("/etc", "/var", "/opt", "/root")
    assert findings("gramine", "/run.sh", more=more, variables=HOME, writable=opened) == []


def test_scripts_that_share_files_in_memory_with_children_are_told() -> None:
    run = (script("run.sh", "#!/bin/sh\nf=$(mktemp)\necho x >$f\ncat $f\n"),)
    assert findings("gramine", "/run.sh", more=run) == [("OCC060", WARNING)]
    assert findings("builtin", "/run.sh", more=run) == []
    own = (script("run.sh", "#!/bin/sh\necho x >/tmp/f\nread y </tmp/f\n"),)
    assert findings("gramine", "/run.sh", more=own) == []


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("set -eu; mkdir -p /tmp/w; echo x >/tmp/w/f; cat /tmp/w/f; id", ERROR),
        ("echo x >/tmp/f; cat /tmp/f", ERROR),
        ("f() { cat /tmp/f; }; set -e; f; id", ERROR),
        ("set -e; sh -c 'echo x >/tmp/f'; cat /tmp/f", ERROR),
        ("echo x >/tmp/f; cat /tmp/f; id", WARNING),
        ("set -e; cat /tmp/f || id; ls", WARNING),
        ("set -e; if cat /tmp/f; then id; fi; ls", WARNING),
        ("set -e; ! cat /tmp/f; ls", WARNING),
        ("set -e; [ -f /x ] && cat /tmp/f; ls", WARNING),
        ("set -e; rm -f /tmp/f; ls", WARNING),
        ("set -e; cat /tmp/own; echo x >/tmp/g; ls", WARNING),
    ],
)
def test_a_script_that_cannot_do_without_is_an_error(text: str, severity: Severity) -> None:
    more = (script("run.sh", f"#!/bin/sh\n{text}\n"), folder("tmp"), program("tmp/own"))
    assert findings("gramine", "/run.sh", more=more) == [("OCC060", severity)]
    assert findings("builtin", "/run.sh", more=more) == []
    opened = findings("gramine", "/run.sh", more=more, writable=("/tmp",))
    assert opened == [("OCC060", WARNING)]


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("set -e; cat <(ls); id", ERROR),
        ("cat <(ls)", ERROR),
        ("set -e; read x < <(ls); id", ERROR),
        ("set -e; while read x; do echo $x; done < <(ls); id", ERROR),
        ("set -e; { ls; } > >(cat) 2>&1; id", ERROR),
        ("set -e; exec > >(cat); ls", ERROR),
        ("cat <(ls); id", WARNING),
        ("set -e; if cat <(ls); then id; fi; ls", WARNING),
        ("exec 3< <(ls); id", WARNING),
        ("set -e; f() { cat <(ls); }; id", WARNING),
        ("(( 1 )); cat <(ls)", WARNING),
        ("ls | cat /dev/stdin", WARNING),
        ("ls | cat /proc/self/fd/0; ls", WARNING),
        ("echo x >/proc/self/fd/2; echo x >/dev/stdout; read x <<<'<(ls)'; [[ a <b ]]; id", None),
    ],
)
def test_pipes_that_scripts_open_by_a_name_are_told(text: str, severity: Severity | None) -> None:
    more = (script("run.sh", f"#!/bin/sh\n{text}\n"),)
    assert findings("gramine", "/run.sh", more=more) == ([("OCC062", severity)] if severity else [])
    assert findings("builtin", "/run.sh", more=more) == []


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("set -e; echo x >/tmp/p; chmod 755 /tmp/p; /tmp/p; id", ERROR),
        ("cp /bin/ls /srv/p; /srv/p", ERROR),
        ("cp /bin/ls /srv/p; exec /srv/p", ERROR),
        ("cp /bin/ls /srv/p; /srv/p; id", WARNING),
        ("echo x >/tmp/p; chmod +x /tmp/p; id", WARNING),
        ("chmod -R a+rx /tmp/folder; id", WARNING),
        ("echo x >/tmp/p; chmod 644 /tmp/p; chmod u+w /tmp/p; chmod 755 /bin/ls; id", None),
        ("echo x >/tmp/p; . /tmp/p; id", None),
    ],
)
def test_programs_that_scripts_make_are_told(text: str, severity: Severity | None) -> None:
    more = (script("run.sh", f"#!/bin/sh\n{text}\n"),)
    assert findings("builtin", "/run.sh", more=more) == ([("OCC063", severity)] if severity else [])
    assert "OCC002" not in {code for code, _ in findings("gramine", "/run.sh", more=more)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("echo starting >&2; ls", True),
        ("echo starting 1>& 2; ls", True),
        ("ls 2>/dev/stderr", True),
        ("ls 2>&1", False),
        ("ls 2>/dev/null", False),
        ("echo 3 >&24; ls", False),
    ],
)
def test_scripts_that_part_messages_from_output_are_told_where_they_come_together(
    text: str, *, told: bool
) -> None:
    more = (script("run.sh", f"#!/bin/sh\n{text}\n"),)
    assert findings("gramine", "/run.sh", more=more) == ([("OCC064", NOTE)] if told else [])
    assert findings("builtin", "/run.sh", more=more) == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("dumb-init", "ls"), True),
        (("dumb-init", "-v", "ls", "-c"), True),
        (("dumb-init", "-c", "ls"), False),
        (("dumb-init", "--single-child", "--", "ls"), False),
        (("tini", "-g", "--", "ls"), True),
        (("tini", "--", "ls", "-g"), False),
        (("sh", "-c", "trap 'kill 0' EXIT; ls"), True),
        (("sh", "-c", "kill -TERM -$$; ls"), True),
        (("sh", "-c", "kill -s TERM -- -$p; ls"), True),
        (("sh", "-c", "kill -0 $p; kill -9 1; kill $p; kill -9 -1; ls"), False),
    ],
)
def test_who_signals_a_group_is_told_where_there_are_none(command: tuple[str, ...], *, told: bool) -> None:
    more = (program("bin/dumb-init"), program("bin/tini"))
    assert findings("gramine", *command, more=more) == ([("OCC065", WARNING)] if told else [])
    assert findings("builtin", *command, more=more) == []


def test_tini_is_told_by_a_variable_to_signal_a_group() -> None:
    found = findings(
        "gramine", "tini", "ls", more=(program("bin/tini"),), variables={"TINI_KILL_PROCESS_GROUP": "1"}
    )
    assert found == [("OCC065", WARNING)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("echo x >>/tmp/f; ls", True),
        ('exec 3>> "$LOG"; ls', True),
        ("echo x >>/dev/stdout; ls", False),
        ("x=$((8 >> 1)); ls", False),
        ("cat <<E >/tmp/f\nx\nE\nls", False),
    ],
)
def test_scripts_that_append_are_told_where_it_writes_over(text: str, *, told: bool) -> None:
    more = (script("run.sh", f"#!/bin/sh\n{text}\n"),)
    assert ("OCC066", WARNING) not in findings("gramine@1.9", "/run.sh", more=more)
    assert (("OCC066", WARNING) in findings("gramine@1.8", "/run.sh", more=more)) is told


def test_servers_that_end_without_locks_or_netlink_are_told() -> None:
    assert findings("gramine", "dnsmasq", "-k", more=(program("bin/dnsmasq"),)) == [("OCC058", ERROR)]
    assert findings("builtin", "dnsmasq", "-k", more=(program("bin/dnsmasq"),)) == []
    assert findings("gramine", "etcd", more=(program("bin/etcd"),)) == [("OCC058", ERROR)]


@pytest.mark.parametrize(
    "text",
    [
        "export LD_LIBRARY_PATH=/opt/lib; exec needs",
        "LD_LIBRARY_PATH=/opt/lib exec needs",
        ". /etc/environment.sh; exec needs",
        "exec env LD_LIBRARY_PATH=/opt/lib needs",
        "export PATH=/opt/bin:$PATH; exec lost",
    ],
)
def test_what_a_script_may_look_for_elsewhere_is_no_error(text: str) -> None:
    needs = program("bin/needs", static=False, interpreter=LOADER, needed=("libgone.so",))
    others = (program("bin/env"), folder("lib"), program(LOADER.lstrip("/")), needs)
    more = (script("run.sh", f"#!/bin/sh\n{text}\n"), *others)
    ((code, severity),) = findings("gramine", "/run.sh", more=more)
    assert (code, severity) == ("OCC002" if "lost" in text else "OCC007", WARNING)
    plain = (script("run.sh", f"#!/bin/sh\nexec {text.rsplit(maxsplit=1)[-1]}\n"), *others)
    assert findings("gramine", "/run.sh", more=plain) == [(code, ERROR)]


def test_scripts_that_keep_to_themselves_are_not_told_of() -> None:
    own = (script("run.sh", "#!/bin/sh\necho x >/tmp/f\nread y </tmp/f\n"),)
    assert findings("gramine", "/run.sh", more=own) == []


@pytest.mark.parametrize("shell", ["/own/sh", "/own/ksh", "/own/bash"])
def test_a_shell_is_one_by_any_name(shell: str) -> None:
    """An image may have the file itself at /bin/sh, and no link to it."""
    text = f"#!{shell}\nf=$(mktemp)\ncat $f\nexec setpriv --reuid=1 ls\n"
    more = (folder("own"), program(shell[1:]), script("run.sh", text))
    assert findings("gramine", "/run.sh", more=more) == [("OCC057", ERROR), ("OCC060", WARNING)]
    assert findings("gramine", shell, "-c", "exec postgres", more=more) == [("OCC058", ERROR)]


def test_only_what_weakens_an_enclave_stops_a_production_build() -> None:
    from enclavize.compat.codes import CODES

    assert {code for code, entry in CODES.items() if entry.weakens} == {"OCC026", "OCC034", "OCC039"}


def test_applets_of_busybox_are_not_missing() -> None:
    busybox = (program("bin/busybox"), link("bin/ash", "busybox"))
    assert findings("gramine", "/bin/ash", "-c", "ls2 /bin", more=busybox) == []
    assert findings("gramine", "/bin/sh", "-c", "exec ls2 /bin", more=busybox) == [("OCC002", ERROR)]


def test_sizes_are_those_of_what_an_entrypoint_becomes() -> None:
    entries = (
        folder("bin"), program("bin/dash"), link("bin/sh", "dash"), program("bin/node"),
        script("entry", '#!/bin/sh\nexec "$@"\n'), program("bin/many", imports=("pthread_create",)),
    )  # fmt: skip

    def sizes(*command: str) -> tuple[int, int]:
        subject = Subject(
            rootfs=Rootfs(entries, merkle_reader=lambda _entry: b""), arguments=command,
            working_directory="/", environment={"PATH": "/bin"}, uid=0, gids=frozenset({0}),
        )  # fmt: skip
        advice = check(subject, cast("Image", SimpleNamespace(name="image")), profile_for("gramine")).advice
        return advice.memory >> 20, advice.threads

    assert sizes("node") == sizes("/entry", "node") == (2064, 32)
    assert sizes("sh") == (256, 8)
    assert sizes("/entry", "many") == (256, 64)
    assert sizes() == (256, 8)
