"""podman without root: an unprivileged user with ids of its own, who exists in one mount namespace alone."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.resources import native_file
from support.engines import Engine
from support.programs import REPOSITORY, need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "rootless-trial"
USER = 54321
SUBORDINATE = (700_000, 65_536)
_ADDED = {
    "passwd": f"{NAME}:x:{USER}:{USER}::{{home}}:/bin/sh",
    "group": f"{NAME}:x:{USER}:",
    "subuid": "{name}:{first}:{count}",
    "subgid": "{name}:{first}:{count}",
}


@contextmanager
def rootless_podman() -> Iterator[Engine]:
    """Give an unprivileged user a podman and a rune. Skips where the machine lets nobody have that."""
    need("podman", "conmon", "runc", "unshare", "nsenter", "setpriv", "newuidmap", "newgidmap")
    need_root()
    folder = Path(tempfile.mkdtemp(prefix="rootless-"))
    folder.chmod(0o755)
    try:
        home = _home(folder, _rune(folder))
        with _namespace(folder, home) as holder:
            yield _engine(folder, home, holder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _python() -> Path:
    """Return an interpreter that other users can run."""
    for path in map(Path, (sys.executable, "/usr/bin/python3")):
        real = path.resolve()
        if path.exists() and all(item.stat().st_mode & stat.S_IXOTH for item in (real, *real.parents)):
            return path
    pytest.skip("Python is closed to other users")


def _rune(folder: Path) -> Path:
    """Install rune where everybody can run it, with the native files of this build."""
    (folder / "bin").mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "enclavize", folder / "package" / "enclavize", ignore=ignored)
    shutil.copytree(REPOSITORY / "libos_profiles", folder / "package" / "libos_profiles", ignore=ignored)
    shutil.copy(native_file("rune"), folder / "bin" / "rune")
    script = folder / "bin" / "enclavize-rune"
    paths = [str(folder / "package"), sysconfig.get_path("purelib")]
    script.write_text(
        f"#!{_python()}\nimport sys\nsys.path[:0] = {paths!r}\n"
        "from enclavize.rune.__main__ import main\nmain()\n"
    )
    script.chmod(0o755)
    return folder / "bin" / "rune"


def _home(folder: Path, rune: Path) -> Path:
    home = folder / "home"
    for path in (home, home / "run", home / ".config" / "rune"):
        path.mkdir(parents=True)
    (home / ".config" / "rune" / "config.toml").write_text("allow_simulation = true\n")
    (home / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        'runtime_supports_json = ["crun", "runc", "kata", "runsc", "krun", "rune"]\n'
        f'[engine.runtimes]\nrune = ["{rune}"]\n'
    )
    for path in (home, *home.rglob("*")):
        os.chown(path, USER, USER)
        path.chmod(0o700 if path.is_dir() else 0o600)
    return home


@contextmanager
def _namespace(folder: Path, home: Path) -> Iterator[int]:
    """Hold a mount namespace in whose /etc the user is; return the holder's pid. It ends with its input."""
    first, count = SUBORDINATE
    script = "set -e\n"
    for name, line in _ADDED.items():
        text = Path("/etc", name).read_text() if Path("/etc", name).exists() else ""
        added = line.format(home=home, name=NAME, first=first, count=count)
        (folder / name).write_text(f"{text.rstrip()}\n{added}\n".lstrip())
        script += f"test -e /etc/{name} && mount --bind {folder}/{name} /etc/{name}\n"
    script += "echo ready\nexec cat\n"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "ready\n":
            pytest.skip(f"no user can be made here: {process.stderr.read().strip()}")
        yield process.pid
        process.terminate()


def _engine(folder: Path, home: Path, holder: int) -> Engine:
    environment = {
        "HOME": home, "XDG_RUNTIME_DIR": home / "run", "USER": NAME, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "CONTAINERS_CONF": home / "containers.conf", "TMPDIR": home / "run",
    }  # fmt: skip
    return Engine(
        folder=folder,
        command=(
            "nsenter", "--mount", f"--target={holder}", "--wd=/",
            "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
            "env", "--ignore-environment", *(f"{name}={value}" for name, value in environment.items()),
            "podman", "--storage-driver", "vfs",
        ),
    )  # fmt: skip
