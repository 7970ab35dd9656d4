"""An image with servers that fork, step-downs and supervisors of Debian and PyPI, and entrypoints."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from support.corpus import members_of
from support.downloads import debian, python_packages
from support.images import build_layer, directory, file, symlink
from support.programs import static_musl, zig_cc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.images import Layer, Member

HERE = Path(__file__).parent
TOOLS = (
    "bash", "dash", "coreutils", "findutils", "grep", "sed", "gettext-base", "util-linux", "procps",
    "gosu", "tini",
)  # fmt: skip
SMALL = (TOOLS, ("redis-server",))
ALL = (
    *SMALL, ("s6", "runit"), ("python3.11",), ("nginx-light",), ("apache2",), ("postgresql-15",),
    ("mariadb-server",),
)  # fmt: skip
PYTHON_PACKAGES = ("gunicorn==23.0.0", "supervisor==4.3.0")
_LEFT_OUT = re.compile(
    r"usr/lib/x86_64-linux-gnu/(perl|libLLVM|libz3|libperl)|usr/lib/postgresql/15/lib/(bitcode|llvmjit)"
    r"|var/run|usr/share/(?!postgresql/|mysql/(charsets|english|[^/]*sql$)|zoneinfo$|zoneinfo/(UTC|Etc))|var/lib/dpkg|usr/include|usr/bin/(perl|dpkg|debconf)"
    r"|usr/lib/(python3.*/(test|lib2to3|idlelib|tkinter|ensurepip|pydoc_data|distutils)|valgrind|udev|systemd|apt)"
    r"|usr/bin/(mariadb-(?!install-db)|mysql|(aria|myisam|wsrep)|mariadbd-|innochecksum|perror|replace|resolve_stack|msql)"
    r"|usr/lib/libgalera|usr/lib/x86_64-linux-gnu/(gconv|openssh|libdb-|engines)|usr/lib/apache2/modules/(?!mod_(mpm_pre|authz_core))"
)
"""What Debian's own tools need, and what compiles queries."""
USERS = {"redis": 100, "postgres": 101, "mysql": 102, "www-data": 33, "nobody": 65534}
PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin"
ENVIRONMENT = {
    "PATH": PATH, "PYTHONPATH": "/opt/packages:/app", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
    "POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "app", "MYSQL_PASSWORD": "secret", "NGINX_WORKERS": "2",
}  # fmt: skip
SETTINGS = ("PGDATA", "PORT", "NGINX_PORT", "NGINX_WORKERS")
"""Variables that the host may set."""

NGINX = """
daemon off; worker_processes ${NGINX_WORKERS}; user www-data;
pid /run/nginx/nginx.pid; error_log stderr notice;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server { listen 127.0.0.1:${NGINX_PORT}; root /www; location /pid { return 200 "$pid\\n"; } }
}
"""
APACHE = """
ServerRoot /usr/lib/apache2
LoadModule mpm_prefork_module modules/mod_mpm_prefork.so
LoadModule authz_core_module modules/mod_authz_core.so
User www-data
Group www-data
Listen 127.0.0.1:${PORT}
ServerName localhost
PidFile /tmp/apache.pid
DefaultRuntimeDir /tmp
ErrorLog /dev/stderr
DocumentRoot /www
StartServers 2
MaxConnectionsPerChild 5
<Directory /www>
Require all granted
</Directory>
"""
APPLICATION = """
import os, time

def application(environment, start_response):
    if environment["PATH_INFO"] == "/hang":
        time.sleep(3600)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d\\n" % os.getpid()]
"""
SUPERVISOR = """
[supervisord]
nodaemon=true
user=root
logfile=/dev/null
logfile_maxbytes=0
pidfile=/tmp/supervisord.pid
[program:service]
command=/bin/bash /app/service.sh
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
startsecs=0
"""
LARGE = b"0123456789" * 100_000
SERVICE = """#!/bin/bash
# Ends by a signal twice, then stays: a supervisor starts it again and again.
count=$(cat /tmp/count 2>/dev/null || echo 0)
echo $((count + 1)) > /tmp/count
echo "service $count"
if [ "$count" -lt 2 ]; then kill -KILL $$; fi
trap 'echo stopped; exit 0' TERM
while :; do sleep 0.1; done
"""


def of_packages(groups: tuple[tuple[str, ...], ...]) -> Iterator[Member]:
    """Yield what packages of Debian hold, each path once."""
    seen: set[str] = set()
    for names in groups:
        for member in members_of(debian("bookworm", *names)):
            if member.path not in seen and not _LEFT_OUT.match(member.path):
                seen.add(member.path)
                yield member


def _step_downs() -> dict[str, bytes]:
    source = HERE / "entrypoints" / "su_exec.c"
    with tempfile.TemporaryDirectory() as name:
        musl, glibc = Path(name) / "su-exec", Path(name) / "su-exec-glibc"
        static_musl(source, musl)
        zig_cc("-target", "x86_64-linux-gnu.2.36", "-O2", "-s", source, "-o", glibc)
        return {path.name: path.read_bytes() for path in (musl, glibc)}


def _own_files() -> Iterator[Member]:
    users = [f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in USERS.items()]
    groups = [f"{name}:x:{uid}:\n" for name, uid in USERS.items()]
    yield file("etc/passwd", "".join(["root:x:0:0:root:/root:/bin/bash\n", *users]))
    yield file("etc/group", "".join(["root:x:0:\n", *groups]))
    yield file("etc/hosts", "127.0.0.1 localhost\n")
    yield from (directory("tmp", 0o1777), directory("run"), directory("data", 0o755), directory("app"))
    yield symlink("var/run", "/run")
    yield from (symlink("bin/sh", "dash"), symlink("usr/bin/python3", "python3.11"))
    for name in ("postgres", "mysql", "redis", "nginx"):
        yield file(f"usr/local/bin/{name}.sh", (HERE / "entrypoints" / f"{name}.sh").read_bytes(), 0o755)
    for name, bytes_ in _step_downs().items():
        yield file(f"usr/local/bin/{name}", bytes_, 0o755)
    templates = (HERE / "entrypoints" / "20-templates.sh").read_bytes()
    yield file("docker-entrypoint.d/20-templates.sh", templates, 0o755)
    yield file("docker-entrypoint.d/notes.txt", "")
    yield file("docker-entrypoint-initdb.d/1.sql", "CREATE TABLE made (who int, what text);\n", 0o644)
    yield file("docker-entrypoint-initdb.d/2.sh", 'echo "prepared by $(id -un)"\n', 0o755)
    yield file("etc/nginx/templates/nginx.conf.template", NGINX)
    yield file("etc/apache.conf", APACHE)
    yield file("etc/supervisord.conf", SUPERVISOR)
    yield from (file("app/application.py", APPLICATION), file("app/service.sh", SERVICE, 0o755))
    for supervisor in ("s6", "runit"):
        yield file(f"etc/supervised/{supervisor}/one/run", "#!/bin/sh\nexec bash /app/service.sh\n", 0o755)
    yield from (
        directory("www"),
        file("www/index.html", "hello\n"),
        file("www/large", b"0123456789" * 100_000),
    )


@functools.cache
def layers(groups: tuple[tuple[str, ...], ...]) -> tuple[Layer, ...]:
    """Return the layers of an image with these packages."""
    members = [*of_packages(groups), *_own_files()]
    if groups == ALL:
        for package in PYTHON_PACKAGES:
            members += members_of(python_packages("3.11", package), "opt/packages/")
    return (build_layer(_once(members), "none"),)


def _once(members: list[Member]) -> Iterator[Member]:
    """What comes later wins, as in layers."""
    last = {member.path: member for member in members}
    yield from last.values()
