"""Compile native/ with the pinned ziglang wheel. The same sources give the same bytes in any directory.

Reproducibility comes from three habits: the compiler runs inside ``native/`` and sees relative paths only,
debug information is left out, and the compiler's version is pinned.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ZIG_VERSION = "0.17.1"
NATIVE = Path(__file__).resolve().parent
OUTPUT = NATIVE.parent / "enclavize" / "_native"

WARNINGS = ("-std=c17", "-Wall", "-Wextra", "-Werror", "-Wvla", "-Wshadow", "-Wpointer-arith")
COMMON = (*WARNINGS, "-Iinclude", "-g0", "-fno-sanitize=undefined", "-ffile-prefix-map=.=native")
"""UBSan is on in test builds only: zig cc turns it on by default, with a runtime no enclave can carry."""

HOST_TARGET = "x86_64-linux-musl"
SHARED_TARGET = "x86_64-linux-gnu.2.17"
ENCLAVE_TARGET = "x86_64-linux-none"
NO_VECTORS = "x86_64-sse-sse2-mmx-x87+soft_float"
"""The LibOS leaves the application's vector registers alone. zig cc drops -mgeneral-regs-only silently."""

ENCLAVE_FLAGS = (
    "-Os", "-fPIC", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fvisibility=hidden",
    f"-mcpu={NO_VECTORS}", "-fno-asynchronous-unwind-tables", "-fno-omit-frame-pointer", "-mno-red-zone",
    "-fno-stack-check", "-ffunction-sections", "-Ilibos",
)  # fmt: skip
"""-Os: each page is measured, pushed and loaded; -O2 makes 80 KB more, and no row of the benchmark faster."""
SHA_EXTENSIONS = "x86_64+sha+ssse3+sse4_1+avx+avx2"
"""std.crypto takes its path for the SHA extensions only where AVX2 is there as well."""

SHA_INSTRUCTIONS = "x86_64+sha+ssse3+sse4_1"
"""For code that uses the SHA extensions itself: they have no VEX form, and would wait among AVX code."""

WIDE_REGISTERS = "x86_64+avx512f+avx512bw+avx512vl"

ZIG_FLAGS = (
    "-O", "ReleaseFast", "-fPIC", "-fstrip", "-fno-stack-check", "-fno-stack-protector", "-fsingle-threaded",
)  # fmt: skip
HOST_FLAGS = ("-O2", "-fPIC", "-fno-stack-protector", "-fvisibility=hidden")


@dataclass(frozen=True)
class ZigObject:
    """One Zig source compiled for one CPU: the same source may be built for several."""

    source: str
    cpu: str = "x86_64"

    @property
    def name(self) -> str:
        return f"{Path(self.source).stem}-{self.cpu.replace('+', '-')}.o"


@dataclass(frozen=True)
class Unit:
    """One output file, its sources (glob patterns relative to native/) and its flags."""

    output: str
    target: str
    sources: tuple[str, ...]
    flags: tuple[str, ...]
    zig_objects: tuple[ZigObject, ...] = ()


_SOURCE_SUFFIXES = frozenset({".c", ".h", ".S", ".def", ".lds", ".zig"})

SHA256 = (ZigObject("crypto/sha256.zig"), ZigObject("crypto/sha256.zig", SHA_INSTRUCTIONS))
SHA256_LANES = ZigObject("crypto/sha256_lanes.zig", SHA_INSTRUCTIONS)
SHA256_WIDE = ZigObject("crypto/sha256_wide.zig", WIDE_REGISTERS)
PLACES = ZigObject("libos/cpu/places.zig")
SHARED_MODULES = {"sha256_ni": "crypto/sha256_ni.zig"}
"""What Zig sources of several folders import, by name."""

GRAMINE_PAL = ("pal_gramine/*.c", "pal/options.c", "pal/log.c")
RUNELET_COMMON = tuple(
    f"runelet/{name}.c"
    for name in (
        "channel",
        "commands",
        "exec",
        "ignored",
        "main",
        "message",
        "mounts",
        "options",
        "reports",
        "signals",
    )
)
"""The runelet but for volumes.c, which reads the builtin LibOS's measured configuration."""

UNITS = (
    Unit(
        output="libos.so",
        target=ENCLAVE_TARGET,
        sources=("libos/*.c", "libos/*/*.S", "libos/*/*.c"),
        flags=(
            *ENCLAVE_FLAGS, "-nostdlib", "-shared", "-Wl,-Bsymbolic", "-Wl,-z,noexecstack", "-Wl,-z,norelro",
            "-Wl,--gc-sections", "-Wl,--hash-style=sysv", "-Wl,--build-id=none", "-Wl,--no-undefined",
            "-Wl,-T,libos/libos.lds", "-s",
        ),
        zig_objects=(*SHA256, SHA256_LANES, SHA256_WIDE, PLACES),
    ),
    Unit(
        output="runelet",
        target=HOST_TARGET,
        sources=("pal/*.S", "pal/*.c", "runelet/*.c"),
        flags=(*HOST_FLAGS, "-static", "-pie", "-s"),
        zig_objects=(*SHA256, ZigObject("crypto/rsa.zig"), ZigObject("crypto/cmac.zig")),
    ),
    Unit(
        output="liberpal-builtin.so",
        target=SHARED_TARGET,
        sources=("pal/*.S", "pal/*.c"),
        flags=(*HOST_FLAGS, "-shared", "-Wl,-z,now", "-Wl,--no-undefined", "-s"),
        zig_objects=(*SHA256, ZigObject("crypto/rsa.zig"), ZigObject("crypto/cmac.zig")),
    ),
    Unit(
        output="runelet-gramine",
        target=HOST_TARGET,
        sources=(*GRAMINE_PAL, *RUNELET_COMMON, "runelet_gramine/*.c"),
        flags=(*HOST_FLAGS, "-Ipal", "-Irunelet", "-static", "-pie", "-s"),
    ),
    Unit(
        output="liberpal-gramine.so",
        target=SHARED_TARGET,
        sources=GRAMINE_PAL,
        flags=(*HOST_FLAGS, "-Ipal", "-shared", "-Wl,-z,now", "-Wl,--no-undefined", "-s"),
    ),
    Unit(
        output="runelet-pal",
        target=SHARED_TARGET,
        sources=("runelet_pal/*.c", "runelet/message.c", "runelet/signals.c"),
        flags=(*HOST_FLAGS, "-Irunelet", "-pie", "-Wl,-z,now", "-ldl", "-lpthread", "-s"),
    ),
    Unit(
        output="rune",
        target=HOST_TARGET,
        sources=("rune/*.c", "pal/sha256.c"),
        flags=(*HOST_FLAGS, "-static", "-pie", "-s"),
        zig_objects=SHA256,
    ),
    Unit(
        output="selftest",
        target=HOST_TARGET,
        sources=("selftest/*.c",),
        flags=(*HOST_FLAGS, "-static", "-pie", "-s"),
        zig_objects=(ZigObject("crypto/cmac.zig"),),
    ),
    Unit(
        output="rune-hook",
        target=HOST_TARGET,
        sources=("rune_hook/*.c", "rune/mountinfo.c"),
        flags=(*HOST_FLAGS, "-static", "-pie", "-s"),
    ),
    Unit(
        output="libenclavize-hash-portable.so",
        target=SHARED_TARGET,
        sources=(),
        flags=(*HOST_FLAGS, "-shared", "-Wl,-z,now", "-Wl,--no-undefined", "-s"),
        zig_objects=tuple(
            ZigObject(f"host/{name}.zig")
            for name in ("hashes", "code", "symbols", "scan", "tree", "erofs", "data_index")
        ),
    ),
    Unit(
        output="libenclavize-hash.so",
        target=SHARED_TARGET,
        sources=(),
        flags=(*HOST_FLAGS, "-shared", "-Wl,-z,now", "-Wl,--no-undefined", "-s"),
        zig_objects=(
            ZigObject("host/hashes.zig", SHA_EXTENSIONS), ZigObject("host/code.zig", SHA_EXTENSIONS),
            ZigObject("host/symbols.zig"),
            ZigObject("host/scan.zig", SHA_INSTRUCTIONS), ZigObject("host/tree.zig"),
            ZigObject("host/erofs.zig", SHA_INSTRUCTIONS), ZigObject("host/data_index.zig"),
        ),
    ),
)  # fmt: skip


def zig(*args: str, cache: Path) -> None:
    """Run the compiler inside native/, with caches of its own so that parallel builds do not meet."""
    environment = {
        **os.environ,
        "ZIG_LOCAL_CACHE_DIR": str(cache / "local"),
        "ZIG_GLOBAL_CACHE_DIR": str(cache / "global"),
        "SOURCE_DATE_EPOCH": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", *args],
        cwd=NATIVE, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"zig {' '.join(args)}\n{done.stdout}{done.stderr}")


def build_zig_object(zig_object: ZigObject, target: str, folder: Path, cache: Path) -> Path:
    """Compile one Zig source into ``folder``."""
    path = folder / zig_object.name
    flags = ("-target", target, f"-mcpu={zig_object.cpu}", *ZIG_FLAGS)
    modules = [word for name, source in SHARED_MODULES.items() for word in (*flags, f"-M{name}={source}")]
    dependencies = [word for name in SHARED_MODULES for word in ("--dep", name)]
    zig(
        "build-obj", f"-femit-bin={path}", *flags, *dependencies, f"-Mroot={zig_object.source}", *modules,
        "--name", path.stem, cache=cache,
    )  # fmt: skip
    return path


def fingerprint(unit: Unit) -> str:
    """Hash everything that the unit's bytes depend on: all of native/, since includes are not listed."""
    digest = hashlib.sha256(f"{ZIG_VERSION}\n{unit}\n".encode())
    for path in sorted(NATIVE.glob("[!.]*/**/*")):
        if path.suffix in _SOURCE_SUFFIXES:
            digest.update(f"{path.relative_to(NATIVE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build_unit(unit: Unit, output_dir: Path, cache: Path) -> None:
    """Compile one unit and put it in place in one step, so that a reader never sees half a file."""
    target = output_dir / unit.output
    stamp = cache / "stamps" / f"{unit.output}-{hashlib.sha256(os.fsencode(target)).hexdigest()[:16]}"
    inputs = fingerprint(unit)
    if target.exists() and stamp.exists() and stamp.read_text() == inputs + sha256_of(target):
        return
    sources = [
        str(path.relative_to(NATIVE)) for pattern in unit.sources for path in sorted(NATIVE.glob(pattern))
    ]
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".build-") as name:
        scratch = Path(name)
        objects = [str(build_zig_object(item, unit.target, scratch, cache)) for item in unit.zig_objects]
        result = scratch / unit.output
        flags = ("-target", unit.target, *COMMON, *unit.flags)
        zig("cc", *flags, *sources, *objects, "-o", str(result), cache=cache)
        result.chmod(0o755)
        result.replace(target)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(inputs + sha256_of(target))


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build(output_dir: Path = OUTPUT, only: tuple[str, ...] = ()) -> None:
    """Compile all units, or those named, into ``output_dir``."""
    found = version("ziglang")
    if found != ZIG_VERSION:
        sys.exit(f"ziglang {ZIG_VERSION} is needed for reproducible builds, this is {found}")
    output_dir.mkdir(parents=True, exist_ok=True)
    cache = NATIVE / ".cache"
    units = [unit for unit in UNITS if not only or unit.output in only]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(lambda unit: build_unit(unit, output_dir, cache), units))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("unit", nargs="*", help="names of the outputs to build (default: all)")
    arguments = parser.parse_args()
    build(arguments.output.resolve(), tuple(arguments.unit))
