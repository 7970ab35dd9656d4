"""Debian's Python on a merged /usr among many files: every path that is opened is in the manifest."""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import need, need_root
from support.scale import scaled
from support.tee import ordinary_image

from .conftest import manifest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .conftest import Lab

pytestmark = pytest.mark.integration

PYTHON = Path("/usr/bin/python3")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
FILES = scaled(20_000, least=1000)
SCRIPT = """
import json, sqlite3, ssl, sys, threading
assert sys.executable == "/usr/bin/python"
for path in (%(link)r, %(file)r, "/lib/many/0/file0", "/etc/alternatives/../passwd"):
    print(open(path).read().strip())
thread = threading.Thread(target=print, args=("thread",))
thread.start()
thread.join()
sys.exit(4)
"""
OPENED = re.compile(r'\d+ +open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", [A-Z_|]+(?:, \d+)?\) += \d+')


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the root file system from the files of this machine."""
    need("ldd", "umoci")
    if not PYTHON.exists() or not PYTHON.resolve().name.startswith("python3."):
        pytest.skip("Debian's Python is not here")
    root = tmp_path_factory.mktemp("debian") / "root"
    version = PYTHON.resolve().name
    for folder in ("usr/bin", LIBRARIES, "usr/lib64", "etc/alternatives", "app", "usr/share", "tmp"):
        (root / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    ignored = shutil.ignore_patterns("__pycache__", "test", "config-*", "idlelib", "tkinter")
    shutil.copytree(f"/usr/lib/{version}", root / "usr" / "lib" / version, ignore=ignored, symlinks=True)
    shutil.copy(PYTHON.resolve(), root / "usr" / "bin" / version)
    (root / "usr/bin/python3").symlink_to(version)
    (root / "usr/bin/python").symlink_to("/etc/alternatives/python")
    (root / "etc/alternatives/python").symlink_to("/usr/bin/python3")
    for library in _libraries(PYTHON, *Path(f"/usr/lib/{version}/lib-dynload").glob("*.so")):
        folder = "usr/lib64" if library.parent.name == "lib64" else LIBRARIES
        shutil.copy(library, root / folder / library.name)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    for number in range(FILES):
        path = root / "usr/lib/many" / str(number // 100) / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    (root / "usr/share/many").symlink_to("../lib/many")
    last = f"{(FILES - 1) // 100}/file{FILES - 1}"
    (root / "app/main.py").write_text(
        SCRIPT % {"link": f"/usr/share/many/{last}", "file": f"/usr/lib/many/{last}"}
    )
    return root


def _libraries(*files: Path) -> Iterator[Path]:
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    yield from sorted({Path(found) for found in re.findall(r"(/lib\S+\.so\S*) \(", listed)})


@pytest.fixture(scope="module")
def source(tree: Path, lab: Lab) -> str:
    """Return the image."""
    options: list[str] = []
    for argument in ("python", "/app/main.py"):
        options += ["--config.entrypoint", argument]
    return ordinary_image(
        lab.base / "debian-source", tree, config=(*options, "--config.env", "PATH=/usr/bin:/bin")
    )


def trusted(manifest: Mapping[str, Any]) -> list[str]:
    return [item["uri"].removeprefix("file:") for item in manifest["sgx"]["trusted_files"]]


def uri_path(manifest: Mapping[str, Any], path: str) -> str:
    """Return by which path of the host Gramine opens a path of the program."""
    mounts = [mount for mount in manifest["fs"]["mounts"] if path.startswith(f"{mount['path']}/")]
    if not mounts:
        return path
    mount = max(mounts, key=lambda mount: len(mount["path"]))
    return str(mount["uri"].removeprefix("file:") + path.removeprefix(mount["path"]))


def test_every_path_that_the_kernel_sees_is_listed(lab: Lab, tree: Path, source: str) -> None:
    need("strace", "chroot")
    need_root()
    manifest = tomllib.loads(manifest_of(lab.build(source, "debian")).decode())
    listed = trusted(manifest)
    assert listed == sorted(listed)
    assert FILES < len(listed) == len(set(listed)) < FILES + 2000
    log = lab.base / "strace"
    chroot = shutil.which("chroot")
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=open,openat,chroot", "-o", log, chroot or "", tree, "/usr/bin/python",
         "/app/main.py"],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    if "ptrace" in done.stderr:
        pytest.skip("strace cannot trace here")
    assert done.returncode == 4, done.stderr
    text = log.read_text()
    opened = {posixpath.normpath(path) for path in OPENED.findall(text[text.index("chroot(") :])}
    files = {
        path for path in opened if (tree / path[1:]).resolve().is_file() or path.startswith("/usr/share/many")
    }
    assert len(files) > 40
    assert {uri_path(manifest, path) for path in files} - set(listed) == set()


def test_gramine_refuses_none_of_them(real: Lab, source: str) -> None:
    """At the log level "warning" it tells each path that it refuses."""
    path = real.base / "warnings.toml"
    path.write_text("[gramine.loader]\nlog_level = 'warning'\n")
    done = real.run(real.build(source, "debian-warnings", "--config", str(path)))
    number = f"{FILES - 1}\n"
    assert done.stdout == f"{number}{number}0\nroot:x:0:0::/root:/bin/sh\nthread\n"
    assert done.returncode == 4
    assert re.findall(r"Disallowing access to file '([^']*)'", done.stderr) == []
    assert "degrades performance" not in done.stderr
