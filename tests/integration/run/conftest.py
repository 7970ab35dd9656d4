"""One image with many programs, converted once; run in a chroot of what umoci unpacks, and in its enclave."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.programs import (
    SAMPLES,
    busybox,
    dynamic_musl,
    go_program,
    need,
    need_root,
    static_musl,
    static_pie_musl,
)
from support.strictness import SIMULATE, refusals

SU_EXEC = Path(__file__).parents[1] / "servers" / "entrypoints" / "su_exec.c"
SORTED_FILE_SIZE = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a program left behind."""

    stdout: bytes
    stderr: bytes
    status: int


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The image as a layout, as a TEE image, and unpacked by umoci."""

    layout: Path
    tee: str
    unpacked: Path
    environment: dict[str, str]

    def native(self, *argv: str, stdin: bytes = b"") -> Result:
        """Run in a chroot of the unpacked image."""
        done = subprocess.run(
            [shutil.which("chroot") or "chroot", self.unpacked, *argv],
            env={"TZ": "UTC"},
            input=stdin,
            capture_output=True,
            check=False,
        )
        return Result(stdout=done.stdout, stderr=done.stderr, status=done.returncode)

    def enclave(self, *argv: str, stdin: bytes = b"", options: tuple[str, ...] = ()) -> Result:
        """Run in the enclave."""
        done = subprocess.run(
            [*self.command(*options), self.tee, *argv],
            env=self.environment,
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert not (refused := refusals(done.stderr)), "\n".join(refused)
        return Result(stdout=done.stdout, stderr=done.stderr, status=done.returncode)

    def command(self, *options: str) -> list[str]:
        """Return the command line of ``enclavize run`` up to the image."""
        return [sys.executable, "-m", "enclavize", "run", SIMULATE, "-i", *options]


def _write_lines(path: Path, size: int) -> None:
    generator = random.Random(7)
    with path.open("w") as file:
        written = 0
        while written < size:
            line = f"{generator.getrandbits(64):016x} line of text {generator.randrange(1000)}\n"
            written += file.write(line)


def _fill(rootfs: Path) -> None:
    for folder in ("bin", "etc", "tmp", "usr/share/deep/er", "var/empty", "home/user", "data", "mnt"):
        (rootfs / folder).mkdir(parents=True)
    static_musl(SAMPLES / "hello" / "hello.c", rootfs / "bin" / "hello")
    static_pie_musl(SAMPLES / "hello" / "hello.c", rootfs / "bin" / "hello-pie")
    libraries = {"once": SAMPLES / "hello" / "once.c", "twice": SAMPLES / "hello" / "twice.c"}
    dynamic_musl(rootfs, SAMPLES / "hello" / "dynamic.c", libraries, "dynamic")
    go_program(SAMPLES / "goroutines", rootfs / "bin" / "goroutines")
    static_musl(SU_EXEC, rootfs / "bin" / "su-exec")
    shutil.copy(busybox(), rootfs / "bin" / "busybox")
    (rootfs / "bin" / "sh").symlink_to("busybox")
    (rootfs / "etc" / "os-release").write_text("Corpus 1.0\n")
    (rootfs / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
    )
    (rootfs / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\n")
    (rootfs / "etc" / "link").symlink_to("../usr/share/deep")
    (rootfs / "etc" / "broken").symlink_to("/nowhere")
    (rootfs / "usr" / "share" / "empty").touch()
    (rootfs / "usr" / "share" / "deep" / "er" / "data").write_bytes(bytes(range(256)) * 1000)
    os.link(rootfs / "usr" / "share" / "deep" / "er" / "data", rootfs / "usr" / "share" / "data-too")
    (rootfs / "home" / "user" / "private").write_text("secret\n")
    (rootfs / "home" / "user" / "private").chmod(0o600)
    os.chown(rootfs / "home" / "user", 1000, 1000)
    os.chown(rootfs / "home" / "user" / "private", 1000, 1000)
    (rootfs / "usr" / "share" / "setuid").write_text("x")
    (rootfs / "usr" / "share" / "setuid").chmod(0o4755)
    (rootfs / "tmp").chmod(0o1777)
    _write_lines(rootfs / "usr" / "share" / "lines", SORTED_FILE_SIZE)
    for index, path in enumerate(sorted(rootfs.rglob("*"), reverse=True)):
        os.utime(path, (1_600_000_000 + index, 1_600_000_000 + index), follow_symlinks=False)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Build the image with umoci, convert it with enclavize, unpack it with umoci."""
    need("umoci", "runc")
    need_root()
    base = tmp_path_factory.mktemp("corpus")
    rootfs = base / "rootfs"
    _fill(rootfs)
    layout = base / "layout"
    for arguments in (
        ["init", "--layout", layout],
        ["new", "--image", f"{layout}:1"],
        ["insert", "--image", f"{layout}:1", rootfs, "/"],
        ["config", "--image", f"{layout}:1", "--architecture", "amd64", "--os", "linux",
         "--config.cmd", "/bin/hello", "--config.env", "TZ=UTC"],
        ["raw", "unpack", "--image", f"{layout}:1", base / "unpacked"],
    ):  # fmt: skip
        subprocess.run(["umoci", *arguments], check=True, capture_output=True)
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(base / "cache"),
        "XDG_DATA_HOME": str(base / "data"),
        "HOME": str(base),
    }
    key = base / "key.pem"
    enclavize = [sys.executable, "-m", "enclavize"]
    subprocess.run([*enclavize, "keygen", key], env=environment, check=True, capture_output=True)
    subprocess.run(
        [*enclavize, "build", f"oci:{layout}:1", "-t", "corpus:tee", "--key", key, "--allow-args",
         "--volume", "/data", "--volume", "/mnt/new/file",
         "-o", f"type=oci,dest={base / 'tee.tar'}", "--progress", "plain"],
        env=environment, check=True,
    )  # fmt: skip
    return Corpus(
        layout=layout,
        tee=f"oci-archive:{base / 'tee.tar'}",
        unpacked=base / "unpacked",
        environment=environment,
    )
