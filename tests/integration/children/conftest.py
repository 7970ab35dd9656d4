"""Images of programs that start others: Debian's tools with Python, and the runtimes of this machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.downloads import debian
from support.foreign import OWN_NETWORK, Chroot
from support.programs import go_program, need, need_root, with_libraries
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.tee import TeeTree

PROGRAMS = Path(__file__).parent / "programs"
PYTHON = "/usr/bin/python3.11"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/jre/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}
TIMEOUT = 600
LEFT_OUT = (
    "ensurepip", "idlelib", "lib2to3", "pydoc_data", "perl-base", "perl", "i18n", "locale", "zoneinfo",
    "config-3.11-x86_64-linux-gnu", "e2scrub", "gitweb", "lto-dump", "security", "libm.a", "libc.a",
    "libm-2.36.a", "libmvec.a", "bash-completion", "systemd",
)  # fmt: skip
TOOLS = (
    "cat", "echo", "env", "expr", "false", "grep", "head", "id", "ls", "seq", "sh", "sleep", "sort", "tr",
    "true", "wc",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Places:
    """The same files as a folder and as a TEE image."""

    chroot: Chroot
    tree: TeeTree

    def check(self, *argv: str) -> str:
        """Run in both places: what it prints, and how it ends, is the same. Returns what it prints."""
        native = self.chroot.run(*argv, environment=ENVIRONMENT, timeout=TIMEOUT)
        done = self.tree.run(*argv, wrapper=OWN_NETWORK, timeout=TIMEOUT)
        assert (done.stdout.decode(), done.returncode) == (native.stdout.decode(), native.returncode), (
            native.stderr.decode() + done.stderr.decode()
        )
        assert native.returncode == 0, native.stderr.decode()
        return native.stdout.decode()


def _convert(root: Path, base: Path, command: str, *options: str) -> Places:
    for folder in ("dev", "etc", "proc", "tmp", "build"):
        (root / folder).mkdir(exist_ok=True)
    for folder in ("tmp", "build"):
        (root / folder).chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    environment = [
        word for name, value in ENVIRONMENT.items() for word in ("--config.env", f"{name}={value}")
    ]
    image = ordinary_image(base / "layout", root, config=["--config.cmd", command, *environment])
    tree = Converter.create(base).tree(image, "tree", "--debug", "--allow-args", *options)
    return Places(chroot=Chroot(root=root), tree=tree)


def _ignored(_: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in LEFT_OUT]


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """What Debian calls essential, git, make, a C compiler and Python; ``/build`` may be executed from."""
    need("umoci", "skopeo")
    need_root()
    base = tmp_path_factory.mktemp("tools")
    root = base / "rootfs"
    packages = ("?essential", "python3.11", "git", "make", "tcc", "libc6-dev")
    shutil.copytree(debian("bookworm", *packages), root, symlinks=True, ignore=_ignored)
    (root / "hooks").mkdir()
    (root / "parts").mkdir()
    for name in ("one", "two"):
        (root / "parts" / name).write_text(f"#!/bin/sh\necho part {name}\n")
        (root / "parts" / name).chmod(0o755)
    shutil.copy(PROGRAMS / "pre-commit.sh", root / "hooks" / "pre-commit")
    (root / "hooks" / "pre-commit").chmod(0o755)
    for program in (*PROGRAMS.glob("*.sh"), *PROGRAMS.glob("*.py")):
        shutil.copy(program, root)
    compiled = Chroot(root=root).run(
        PYTHON, "-m", "compileall", "-q", "/usr/lib/python3.11", environment=ENVIRONMENT, timeout=TIMEOUT
    )
    assert compiled.returncode == 0, compiled.stderr
    return _convert(
        root, base, "/bin/sh", "--volume", "/build:exec", "--set", "memory=2G", "--set", "threads=128"
    )


@pytest.fixture(scope="session")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Programs in Go, for Node and for Java, with a shell and what they start."""
    need("umoci", "skopeo", "node", "javac", "jlink")
    need_root()
    base = tmp_path_factory.mktemp("runtimes")
    root = base / "rootfs"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for name in (*TOOLS, "node"):
        found = shutil.which(name, path=f"/usr/bin:/bin:{Path(shutil.which(name) or '').parent}")
        assert found is not None
        shutil.copy(found, root / "usr" / "bin" / name)
    go_program(PROGRAMS / "go", root / "usr" / "bin" / "children")
    subprocess.run(["javac", "-d", root / "classes", PROGRAMS / "Children.java"], check=True)
    link = ("jlink", "--add-modules", "java.base", "--strip-debug", "--no-man-pages", "--no-header-files")
    subprocess.run([*link, "--output", root / "jre"], check=True)
    programs = (root / "jre" / "bin" / "java", root / "jre" / "lib" / "jspawnhelper")
    with_libraries(root, *(root / "usr" / "bin").iterdir(), *programs, *(root / "jre").rglob("*.so"))
    for program in PROGRAMS.glob("*.js"):
        shutil.copy(program, root)
    return _convert(
        root, base, "/bin/sh", "--allow-network", "all", "--set", "memory=4G", "--set", "threads=200"
    )
