"""Layers that the corpus is made of: C libraries, packages, and programs compiled here."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from support.corpus import layer_of, members_of
from support.downloads import debian, musl_busybox, npm, wheel
from support.images import build_layer, directory, file, plain_tar, symlink
from support.programs import MUSL_LOADER, busybox, need, zig_cc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.images import Layer, Member


def packages(release: str, *names: str) -> Callable[[], Layer]:
    """Packages of Debian with all that they depend on."""
    return layer_of(lambda: members_of(debian(release, *names)))


GLIBC = functools.cache(packages("bookworm", "libc6", "libstdc++6", "libgcc-s1"))
MUSL_125 = packages("trixie", "musl")
DEBIAN_12 = functools.cache(packages("bookworm", "?essential"))
GLIBC_231 = functools.cache(packages("bullseye", "libc6", "libstdc++6", "libgcc-s1"))


@functools.cache
def musl() -> Layer:
    """The loader of musl, which is its C library, and the name that Alpine's programs know it by."""
    need("musl-gcc")
    loader = file("lib/ld-musl-x86_64.so.1", MUSL_LOADER.resolve().read_bytes(), 0o755)
    return build_layer([loader, symlink("lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")], "none")


def from_wheel(name: str, version: str, platforms: Sequence[str], path: str, to: str) -> Callable[[], Layer]:
    """A file or a folder of a wheel of PyPI."""

    def make() -> Iterator[Member]:
        with zipfile.ZipFile(wheel(name, version, platforms)) as archive:
            for member in archive.infolist():
                if (target := _target(member.filename, path, to)) and not member.is_dir():
                    yield file(target, archive.read(member), member.external_attr >> 16 & 0o777)

    return layer_of(make)


def from_npm(name: str, version: str, path: str, to: str) -> Callable[[], Layer]:
    """A file or a folder of an npm package."""

    def make() -> Iterator[Member]:
        with tarfile.open(npm(name, version)) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content and (target := _target(member.name, path, to)):
                    yield file(target, content.read(), member.mode)

    return layer_of(make)


def _target(name: str, path: str, to: str) -> str:
    """Return where a file of an archive goes if ``path`` goes to ``to``; "" if it is not there."""
    if name == path or name.startswith(f"{path}/"):
        return to + name.removeprefix(path)
    return ""


def text(path: str, content: str) -> Callable[[], Layer]:
    """An executable file of text."""
    return layer_of(lambda: [file(path, content, 0o755)])


def link(path: str, target: str) -> Callable[[], Layer]:
    """A symbolic link."""
    return layer_of(lambda: [symlink(path, target)])


PIE = ("-fPIE", "-pie")
HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
BUILT_IN = """#!/bin/sh
set -eu
sum=0
for i in 1 2 3; do sum=$((sum + i)); done
[ $sum -gt 5 ] && echo sum $sum
"""


def compiled(source: str, path: str, *options: str, target: str = "x86_64-linux-musl") -> Callable[[], Layer]:
    """A program of C, compiled by zig for a target such as ``x86_64-linux-gnu.2.31``."""

    def make() -> list[Member]:
        with tempfile.TemporaryDirectory() as scratch:
            code, program = Path(scratch) / "main.c", Path(scratch) / "program"
            code.write_text(source)
            zig_cc("-target", target, "-O2", "-s", *options, code, "-o", program)
            return [file(path, program.read_bytes(), 0o755)]

    return layer_of(make)


def linked(source: str, library: str, path: str) -> Callable[[], Layer]:
    """A program of C for musl that needs a library, which is compiled, but not part of the layer."""

    def make() -> list[Member]:
        need("musl-gcc")
        with tempfile.TemporaryDirectory() as scratch:
            base = Path(scratch)
            (base / "library.c").write_text(library)
            (base / "main.c").write_text(source)
            for arguments in (
                ("-shared", "-fPIC", "library.c", "-o", "libgone.so"),
                (*PIE, "main.c", "-L.", "-lgone", "-o", "program"),
            ):
                subprocess.run(["musl-gcc", *arguments], cwd=base, check=True)
            return [file(path, (base / "program").read_bytes(), 0o755)]

    return layer_of(make)


def altered(layer: Callable[[], Layer], change: Callable[[bytes], bytes]) -> Callable[[], Layer]:
    """A layer with the one file of another, changed."""

    def make() -> list[Member]:
        with tarfile.open(fileobj=io.BytesIO(plain_tar(layer()))) as archive:
            member = archive.getmembers()[0]
            content = archive.extractfile(member)
            assert content
            return [file(member.name, change(content.read()), member.mode)]

    return layer_of(make)


def compiled_go(source: str, path: str, *flags: str, cgo: bool = False) -> Callable[[], Layer]:
    """A program of Go; static unless ``flags`` or ``cgo`` say otherwise."""

    def make() -> list[Member]:
        need("go")
        with tempfile.TemporaryDirectory() as scratch:
            code, program = Path(scratch) / "main.go", Path(scratch) / "program"
            code.write_text(source)
            environment = {
                **os.environ,
                "CGO_ENABLED": "1" if cgo else "0",
                "GO111MODULE": "off",
                "HOME": scratch,
            }
            subprocess.run(
                ["go", "build", "-trimpath", *flags, "-o", program, code],
                env=environment, check=True, capture_output=True,
            )  # fmt: skip
            return [file(path, program.read_bytes(), 0o755)]

    return layer_of(make)


@functools.cache
def static_busybox() -> Layer:
    """Debian's static busybox, as the shell too."""
    program = file("bin/busybox", busybox().read_bytes(), 0o755)
    return build_layer([program, symlink("bin/sh", "busybox")], "none")


ALPINE_APPLETS = {
    "ASH", "ECHO", "PRINTF", "TEST", "LS", "CAT", "GREP", "SED", "HEAD", "WC", "SORT", "ENV", "UNAME", "ID",
    "DATE", "SEQ", "TRUE", "SLEEP", "TOUCH", "RM", "MKDIR", "CP", "MV", "BASENAME", "AWK",
}  # fmt: skip
_BUSYBOX_OPTIONS = ("PIE", "SH_IS_ASH", "ASH_ECHO", "ASH_PRINTF", "ASH_TEST", "FEATURE_SH_MATH", "LONG_OPTS")


@functools.cache
def alpine() -> Layer:
    """A root file system as Alpine's: musl, busybox and links to it."""
    program = musl_busybox([*sorted(ALPINE_APPLETS), *_BUSYBOX_OPTIONS])
    links = [symlink(f"bin/{name.lower()}", "busybox") for name in sorted(ALPINE_APPLETS)]
    members = [
        *(directory(name) for name in ("etc", "proc", "root", "tmp", "usr", "usr/bin", "var")),
        file("bin/busybox", program.read_bytes(), 0o755),
        symlink("bin/sh", "busybox"),
        *links,
        file("etc/alpine-release", "3.18.0\n"),
        file("etc/os-release", 'ID=alpine\nVERSION_ID=3.18.0\nPRETTY_NAME="Alpine Linux v3.18"\n'),
        file("etc/passwd", "root:x:0:0:root:/root:/bin/ash\n"),
        file("etc/group", "root:x:0:root\n"),
    ]
    return build_layer(members, "none")
