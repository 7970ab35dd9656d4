"""Real programs for tests: compiled once a session, or taken from Debian."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "samples"
MUSL_LOADER = Path("/lib/ld-musl-x86_64.so.1")


def need(*commands: str) -> None:
    """Skip the test, with the reason, where one of the commands is missing."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")


def need_native(name: str = "libos.so") -> None:
    """Skip the test where the project's native components have not been built."""
    if not (REPOSITORY / "enclavize" / "_native" / name).is_file():
        pytest.skip("the native components have not been built")


def need_root() -> None:
    """Skip the test where it does not run as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


def zig_cc(*arguments: str | Path) -> None:
    """Compile with the pinned zig, sharing one compiler cache with the native build."""
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(REPOSITORY / "native" / ".cache" / "global")}
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *map(str, arguments)],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip


def static_musl(source: Path, output: Path, *options: str) -> Path:
    """Compile a static, fixed-address musl program."""
    zig_cc("-target", "x86_64-linux-musl", "-static", "-O2", "-s", *options, source, "-o", output)
    return output


def static_pie_musl(source: Path, output: Path, *options: str) -> Path:
    """Compile a static position-independent musl program."""
    zig_cc(
        "-target",
        "x86_64-linux-musl",
        "-static",
        "-fPIE",
        "-pie",
        "-O2",
        "-s",
        *options,
        source,
        "-o",
        output,
    )
    return output


def dynamic_musl(rootfs: Path, source: Path, libraries: dict[str, Path], name: str) -> Path:
    """Compile a dynamic musl program and its libraries into ``rootfs``, with musl's own loader."""
    need("musl-gcc")
    folder = rootfs / "usr" / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    (rootfs / "lib").mkdir(exist_ok=True)
    (rootfs / "bin").mkdir(exist_ok=True)
    for library, library_source in libraries.items():
        subprocess.run(
            ["musl-gcc", "-shared", "-fPIC", "-O2", library_source, "-o", folder / f"lib{library}.so"],
            check=True,
        )
    shutil.copy(MUSL_LOADER.resolve(), rootfs / "lib" / "ld-musl-x86_64.so.1")
    program = rootfs / "bin" / name
    links = [f"-l{library}" for library in libraries]
    subprocess.run(["musl-gcc", "-O2", source, f"-L{folder}", *links, "-o", program], check=True)
    return program


def go_program(folder: Path, output: Path, *, dynamic: bool = False) -> Path:
    """Compile a Go program: static, or dynamic with the C library."""
    need("go")
    environment = {
        **os.environ,
        "CGO_ENABLED": "1" if dynamic else "0",
        "GOFLAGS": "-mod=mod",
        "GO111MODULE": "off",
        "HOME": str(output.parent),
    }
    subprocess.run(
        ["go", "build", "-trimpath", "-o", output, *sorted(map(str, folder.glob("*.go")))],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return output


def busybox() -> Path:
    """Return Debian's static busybox (glibc)."""
    need("busybox")
    return Path(shutil.which("busybox") or "")


def with_libraries(root: Path, *files: Path) -> None:
    """Copy what ``ldd`` lists for these files into ``root``, each to its own path."""
    need("ldd")
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    for path in sorted(set(re.findall(r"(/\S+) \(0x", listed))):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(Path(path).resolve(), target)
