"""Packages of Debian, PyPI and npm for tests, by the registries' own clients.

Everything is unpacked once into a folder that outlives the test run, ``ENCLAVIZE_TEST_DOWNLOADS`` or the
user's cache. A test that needs what cannot be had is skipped, with the reason.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MANYLINUX = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64")
MANYLINUX_1 = ("manylinux_2_5_x86_64", "manylinux1_x86_64")
MUSLLINUX = ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64")
TIMEOUT = 120
"""Seconds for one call of a client."""

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_FOLDER = Path(os.environ.get("ENCLAVIZE_TEST_DOWNLOADS") or _CACHE / "enclavize-tests")
"""Looked up before tests get homes of their own."""
_failures: dict[str, str] = {}
"""Why something could not be had: nobody waits for it twice."""
_NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/lib/x86_64-linux-gnu/gconv")


class _UnavailableError(Exception):
    """A client failed."""


def downloads() -> Path:
    """Return the folder with everything that was downloaded by this test run and earlier ones."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    return _FOLDER


def debian(release: str, *packages: str) -> Path:
    """Return a root file system with the packages and all that they depend on, as dpkg unpacks them."""

    def fill(folder: Path) -> None:
        archives = folder / ".archives"
        (archives / "partial").mkdir(parents=True)
        wanted = ["install", "--download-only", "--no-install-recommends", "-qq", "-y", *packages]
        _client(*_apt(release), "-o", f"Dir::Cache::archives={archives}", *wanted)
        for package in sorted(archives.glob("*.deb")):
            _client("dpkg-deb", "--extract", str(package), str(folder))
        shutil.rmtree(archives)
        for path in _NOT_NEEDED:
            shutil.rmtree(folder / path, ignore_errors=True)

    return _once(f"debian-{release}-{'-'.join(packages)}", fill)


def musl_busybox(applets: Sequence[str]) -> Path:
    """Return busybox, compiled from Debian's source with musl as Alpine does: dynamic, and a PIE."""
    need("musl-gcc", "make")

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            source = _source("busybox", scratch)
            _client("make", "allnoconfig", cwd=source)
            configuration = (source / ".config").read_text()
            for option in applets:
                configuration = configuration.replace(f"# CONFIG_{option} is not set", f"CONFIG_{option}=y")
            (source / ".config").write_text(configuration)
            _client("sh", "-c", "yes '' | make oldconfig", cwd=source)
            headers = "-idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu"
            _client("make", f"-j{os.cpu_count()}", f"CC=musl-gcc {headers}", "busybox", cwd=source)
            shutil.copy(source / "busybox", folder / "busybox")

    return _once("musl-busybox", fill) / "busybox"


NGINX_LEFT_OUT = (
    "access", "auth_basic", "autoindex", "browser", "charset", "empty_gif", "geo", "grpc", "gzip",
    "limit_conn", "limit_req", "map", "memcached", "mirror", "referer", "rewrite", "split_clients", "ssi",
    "upstream_hash", "upstream_ip_hash", "upstream_keepalive", "upstream_least_conn", "upstream_random",
    "upstream_zone", "userid",
)  # fmt: skip
"""Modules of HTTP whose libraries or whose time to compile are not worth it."""


def musl_nginx() -> Path:
    """Return nginx, compiled from Debian's source and linked statically with musl."""
    need("musl-gcc", "make")

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            source = _source("nginx", scratch)
            # Debian's musl has no crypt(3), which only passwords of HTTP need.
            (source / "crypt.h").write_text("#define crypt(key, salt) ((char *)0)\n")
            options = ["--with-cc=musl-gcc", f"--with-cc-opt=-O0 -g0 -I{source}", "--with-ld-opt=-static"]
            left_out = [f"--without-http_{module}_module" for module in NGINX_LEFT_OUT]
            _client("./configure", *options, *left_out, cwd=source)
            _client("make", f"-j{os.cpu_count()}", cwd=source)
            shutil.copy(source / "objs" / "nginx", folder / "nginx")

    return _once("musl-nginx", fill) / "nginx"


def _source(package: str, scratch: str) -> Path:
    """Return the folder with Debian's source of a package, without Debian's changes."""
    _client(*_apt("bookworm"), "source", "-qq", "--download-only", package, cwd=scratch)
    (archive,) = Path(scratch).glob("*.orig.tar.*")
    shutil.unpack_archive(archive, scratch, filter="data")
    (folder,) = Path(scratch).glob(f"{package}-*/")
    return folder


def python_packages(version: str, *requirements: str) -> Path:
    """Return a folder with packages of PyPI and all that they depend on, for a CPython of this version."""

    def fill(folder: Path) -> None:
        choice = [argument for platform in MANYLINUX for argument in ("--platform", platform)]
        binary = ("--only-binary", ":all:", "--no-compile", "--python-version", version)
        command = (sys.executable, "-m", "pip", "install", "-q", "--retries", "1")
        _client(*command, *binary, *choice, "--target", str(folder), *requirements)

    return _once(f"pip-{version}-{'-'.join(requirements)}", fill)


def wheel(name: str, version: str, platforms: Sequence[str]) -> Path:
    """Return a wheel."""

    def fill(folder: Path) -> None:
        choice = [argument for platform in platforms for argument in ("--platform", platform)]
        command = (
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--retries",
            "1",
        )
        _client(*command, *choice, "-d", str(folder), f"{name}=={version}")

    (archive,) = _once(f"wheel-{name}-{version}-{platforms[0]}", fill).glob("*.whl")
    return archive


def npm(name: str, version: str) -> Path:
    """Return the tar archive of an npm package."""
    need("npm")

    def fill(folder: Path) -> None:
        _client(
            "npm",
            "pack",
            "--silent",
            "--fetch-retries",
            "1",
            "--pack-destination",
            str(folder),
            f"{name}@{version}",
        )

    folder = _once(f"npm-{name.replace('/', '-').removeprefix('@')}-{version}", fill)
    (archive,) = folder.glob("*.tgz")
    return archive


@functools.cache
def _apt(release: str) -> tuple[str, ...]:
    """Return apt-get for one release of Debian, which knows nothing of what is installed here."""
    need("apt-get", "dpkg-deb")

    def fill(folder: Path) -> None:
        mirror = _mirror()
        for name in ("state/lists/partial", "cache/archives/partial", "state/status.d"):
            (folder / name).mkdir(parents=True)
        (folder / "sources.list").write_text(
            f"deb {mirror} {release} main\ndeb-src {mirror} {release} main\n"
        )
        _client(*command(folder), "-o", "APT::Update::Error-Mode=any", "update", "-qq")

    def command(folder: Path) -> tuple[str, ...]:
        options = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": folder / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": folder / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "1",
            "Acquire::http::Timeout": "20",
        }
        return ("apt-get", *(word for key, value in options.items() for word in ("-o", f"{key}={value}")))

    return command(_once(f"apt-{release}-{time.strftime('%Y-%m')}", fill))


def _mirror() -> str:
    """Return the mirror of Debian that this machine is set up with."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    known = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    mirrors = [uri for uri in known if uri.rstrip("/").endswith("/debian")]
    if not mirrors:
        pytest.skip("apt-get has no mirror of Debian here")
    return mirrors[0]


def _once(name: str, fill: Callable[[Path], None]) -> Path:
    """Return the folder ``name``, made by ``fill`` if it is not there yet: whole, or not at all."""
    folder = downloads() / name
    if not folder.exists() and name not in _failures:
        with tempfile.TemporaryDirectory(dir=downloads()) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            try:
                fill(fresh)
            except _UnavailableError as error:
                _failures[name] = f"{name} cannot be had here: {error}"
            else:
                if not folder.exists():
                    fresh.rename(folder)
    if reason := _failures.get(name):
        pytest.skip(reason)
    return folder


def _client(*command: str, cwd: Path | str | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT, cwd=cwd)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        raise _UnavailableError(lines[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise _UnavailableError(f"no answer within {TIMEOUT} s") from error
