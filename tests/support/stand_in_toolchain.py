"""Stand-ins for installations of Gramine and Occlum: files of the right shape that no LibOS code is in.

They can be found, copied, measured and signed. The stand-in loaders can also be started: they print their
arguments, one in each line. Tests that *run* programs need the real thing, see ``gramine_toolchain``.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from support.images import file
from support.programs import zig_cc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.images import Member

GRAMINE_VARIABLE = "ENCLAVIZE_GRAMINE_TOOLCHAIN"
OCCLUM_VARIABLE = "ENCLAVIZE_OCCLUM_TOOLCHAIN"
"""Name a real installation for the tests to use instead."""

GRAMINE_VERSION = "1.9"
OCCLUM_VERSION = "0.29.7"
GRAMINE_LIBRARIES = "lib/x86_64-linux-gnu"
PACKAGE = f"{GRAMINE_LIBRARIES}/gramine"
"""Where the stand-in of Gramine has its files, as on Debian."""

_LIBRARY = "int stand_in_%(name)s(void);\nint stand_in_%(name)s(void) { return 0; }\n"

_GLIBC = """
__attribute__((used, visibility("default"))) const char stand_in_paths[] = "\\0" %s;
"""
_COMPILED_PATHS = {
    "ld-linux-x86-64.so.2": ("/opt/stand-in/etc/ld.so.cache",),
    "libc.so.6": (
        "/opt/stand-in/lib/locale/locale-archive",
        "/opt/stand-in/share/locale",
        "/opt/stand-in/lib/gconv/gconv-modules.cache",
        "/opt/stand-in/share/zoneinfo",
        "/opt/stand-in/etc/localtime",
    ),
}
"""What a glibc has compiled in, for a prefix that no image has."""

LOADER = r"""
static long call(long number, long one, const void *two, long three)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(one), "S"(two), "d"(three)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((used)) void start(long *stack)
{
    const char **arguments = (const char **)(stack + 1);
    for (long i = 1; i < stack[0]; i++) {
        long length = 0;
        while (arguments[i][length])
            length++;
        call(1, 1, arguments[i], length);
        call(1, 1, "\n", 1);
    }
    call(231, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n    mov %rsp, %rdi\n    and $-16, %rsp\n    call start\n    hlt\n");
"""
"""Prints argv[1...] with system calls of its own, and ends with 0."""

# Gramine links its PAL at 0 with two segments; the second one has data and bss.
_TWO_SEGMENTS = """
PHDRS { text PT_LOAD FILEHDR PHDRS FLAGS(5); data PT_LOAD FLAGS(6); dynamic PT_DYNAMIC FLAGS(6); }
SECTIONS {
    . = SIZEOF_HEADERS;
    .gnu.hash : { *(.gnu.hash) } :text
    .hash : { *(.hash) } :text
    .dynsym : { *(.dynsym) } :text
    .dynstr : { *(.dynstr) } :text
    .rela.dyn : { *(.rela.dyn .rela.*) } :text
    .text : { *(.text .text.*) } :text
    .rodata : { *(.rodata .rodata.*) } :text
    .eh_frame : { *(.eh_frame) } :text
    . = ALIGN(4096) + (. & 4095);
    .dynamic : { *(.dynamic) } :data :dynamic
    .data : { *(.data .data.* .got .got.*) } :data
    .bss : { *(.bss .bss.*) } :data
}
"""

_ENCLAVE_PAL = r"""
static int counter = 1;
static char stack[8192];

__attribute__((visibility("default"), used)) int enclave_entry_point(int step)
{
    stack[counter & 8191] = (char)step;
    counter += step;
    return counter;
}
"""

# The smallest enclave that the signer of Occlum's SDK takes, with the section that `occlum build` fills in.
_OCCLUM_LIBOS = r"""
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default"), used))

EXPORTED const volatile char builtin_config[47] __attribute__((section(".builtin_config"))) = {0};

EXPORTED struct {
    uint64_t sdk_version;
    uint8_t rest[1752];
} g_global_data = {(2ULL << 32) | (%(minor)dULL << 16) | 100, {0}};

EXPORTED void enclave_entry(void)
{
    for (;;)
        (void)builtin_config[0];
}

__asm__(".pushsection .note.sgxmeta, \"\", @note\n"
        ".balign 4\n"
        ".long 13, 0x5000, 1\n"
        ".ascii \"sgx_metadata\\0\"\n"
        ".zero 0x5000\n"
        ".balign 4\n"
        ".popsection\n");
"""

_SIMULATION_DATA = "EXPORTED uint64_t g_global_data_sim[64] = {1};\n"
"""By which the SDK's loader tells enclaves for simulation."""

OCCLUM_JSON = {
    "resource_limits": {
        "kernel_space_heap_size": "32MB",
        "kernel_space_stack_size": "1MB",
        "user_space_size": "300MB",
        "max_num_of_threads": 32,
    },
    "process": {"default_stack_size": "4MB", "default_heap_size": "32MB", "default_mmap_size": "100MB"},
    "entry_points": ["/bin"],
    "env": {"default": ["OCCLUM=yes"], "untrusted": ["EXAMPLE"]},
    "metadata": {"product_id": 0, "version_number": 0, "debuggable": True},
    "mount": [
        {
            "target": "/",
            "type": "unionfs",
            "options": {
                "layers": [
                    {
                        "target": "/",
                        "type": "sefs",
                        "source": "./build/mount/__ROOT",
                        "options": {"MAC": ""},
                    },
                    {"target": "/", "type": "sefs", "source": "./run/mount/__ROOT"},
                ]
            },
        },
        {"target": "/host", "type": "hostfs", "source": "."},
    ],
}
"""A template; the real one has more, which depends on the version."""


def gramine_toolchain(folder: Path) -> Path:
    """Return the installation that the environment names, or a stand-in."""
    named = os.environ.get(GRAMINE_VARIABLE)
    return Path(named) if named else stand_in_gramine(folder)


def gramine_with_attestation(folder: Path) -> Path:
    """Do the same, with a stand-in that has the libraries of RA-TLS and secret provisioning."""
    named = os.environ.get(GRAMINE_VARIABLE)
    return Path(named) if named else stand_in_gramine(folder, attestation=True)


def occlum_toolchain(folder: Path, version: str = OCCLUM_VERSION) -> Path:
    """Return the installation that the environment names, or a stand-in."""
    named = os.environ.get(OCCLUM_VARIABLE)
    return Path(named) if named else stand_in_occlum(folder, version)


def stand_in_gramine(
    folder: Path, *, musl: bool = True, attestation: bool = False, run_path: str = ""
) -> Path:
    """Make a stand-in for an install prefix of Gramine 1.9. ``run_path`` is that of its SGX loader."""
    package = folder / PACKAGE
    sources = folder.parent / f"{folder.name}-sources"
    for path in (package / "direct", package / "sgx", package / "runtime" / "glibc", sources):
        path.mkdir(parents=True)
    _library(sources, package / "libsysdb.so")
    compile_stand_in(sources, "direct", LOADER, package / "direct" / "libpal.so", "-pie", "-Wl,-e,_start")
    (package / "direct" / "loader").symlink_to("libpal.so")
    script = sources / "two_segments.lds"
    script.write_text(_TWO_SEGMENTS)
    compile_stand_in(
        sources, "enclave", _ENCLAVE_PAL, package / "sgx" / "libpal.so", "-shared",
        "-Wl,-e,enclave_entry_point", f"-Wl,-T,{script}", "-Wl,-z,norelro",
    )  # fmt: skip
    libc = _library(sources, sources / "libc.so.6")
    protobuf = _library(sources, folder / GRAMINE_LIBRARIES / "libprotobuf-c.so.1", libc)
    compile_stand_in(
        sources, "loader", LOADER, package / "sgx" / "loader", "-pie", "-Wl,-e,_start",
        "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2", "-Wl,--no-as-needed", protobuf, libc,
        *((f"-Wl,--enable-new-dtags,-rpath,{run_path}",) if run_path else ()),
    )  # fmt: skip
    preloads = ("libra_tls_attest.so", "libsecret_prov_attest.so") if attestation else ()
    for name in ("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libpthread.so.0", *preloads):
        _library(sources, package / "runtime" / "glibc" / name, paths=_COMPILED_PATHS.get(name, ()))
    (package / "runtime" / "glibc" / "libm.so").symlink_to("libm.so.6")
    if musl:
        (package / "runtime" / "musl").mkdir()
        _library(sources, package / "runtime" / "musl" / "libc.so")
        (package / "runtime" / "musl" / "ld-musl-x86_64.so.1").symlink_to("libc.so")
    information = folder / "lib" / "python3.11" / "site-packages" / "graminelibos.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: graminelibos\nVersion: {GRAMINE_VERSION}\n"
    )
    shutil.rmtree(sources)
    return folder


def stand_in_occlum(folder: Path, version: str = OCCLUM_VERSION) -> Path:
    """Make a stand-in for an install prefix of Occlum (``/opt/occlum``), with both C libraries."""
    sources = folder.parent / f"{folder.name}-sources"
    libraries, programs, template = (
        folder / "build" / "lib",
        folder / "build" / "bin",
        folder / "etc" / "template",
    )
    musl, glibc = folder / "toolchains" / "gcc" / "x86_64-linux-musl" / "lib", folder / "glibc" / "lib"
    ratls, dcap = (folder / "toolchains" / name / "musl" for name in ("grpc_ratls", "dcap_lib"))
    for path in (libraries, programs, template, musl, glibc, ratls, dcap, sources):
        path.mkdir(parents=True)
    libos = _OCCLUM_LIBOS.replace("%(minor)d", "21" if version.startswith("0.31.") else "20")
    for name in ("libocclum-libos", "libocclum-libos_sim"):
        text = libos + _SIMULATION_DATA if name.endswith("_sim") else libos
        compile_stand_in(
            sources, name, text, libraries / f"{name}.so.{version}", "-shared", "-Wl,-e,enclave_entry",
            "-Wl,-z,norelro",
        )  # fmt: skip
    for name in ("libocclum-pal", "libocclum-pal_sim"):
        _library(sources, libraries / f"{name}.so.{version}")
    for name in ("libocclum-libos", "libocclum-pal"):
        (libraries / f"{name}.so.{version.partition('.')[0]}").symlink_to(f"{name}.so.{version}")
        (libraries / f"{name}.so").symlink_to(f"{name}.so.{version.partition('.')[0]}")
    for name in ("occlum-run", "occlum_exec_client", "occlum_exec_server", "init", "init_grpc_ratls"):
        compile_stand_in(sources, name, LOADER, programs / name, "-pie", "-Wl,-e,_start")
    for name in ("libc.so", "libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libcjson.so.1"):
        _library(sources, musl / name)
    for name in ("libgrpc_ratls_client.so", "libhw_grpc_proto.so"):
        _library(sources, ratls / name)
    _library(sources, dcap / "libocclum_dcap.so.0.1.0")
    for name in (
        "ld-linux-x86-64.so.2", "libc.so.6", "libpthread.so.0", "libm.so.6", "libstdc++.so.6",
        "libgcc_s.so.1",
    ):  # fmt: skip
        _library(sources, glibc / name)
    (template / "Occlum.json").write_text(json.dumps(OCCLUM_JSON, indent=4))
    (template / "Enclave.pem").write_text("stand-in for the public template key\n")
    shutil.rmtree(sources)
    return folder


def glibc_program(sources: Path, path: str) -> list[Member]:
    """Make a program that needs a glibc, with files that pass for one where the loader looks for them."""
    libraries = {
        "lib64/ld-linux-x86-64.so.2": _library(sources, sources / "ld-linux-x86-64.so.2"),
        "lib/x86_64-linux-gnu/libc.so.6": _library(sources, sources / "libc.so.6"),
    }
    program = compile_stand_in(
        sources, "program", LOADER, sources / "program", "-pie", "-Wl,-e,_start",
        "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2", "-Wl,--no-as-needed", *libraries.values(),
    )  # fmt: skip
    made = {path: program, **libraries}
    return [file(name, content.read_bytes(), 0o755) for name, content in made.items()]


def _library(sources: Path, output: Path, *needed: Path, paths: Sequence[str] = ()) -> Path:
    name = "".join(char if char.isalnum() else "_" for char in output.name)
    code = _LIBRARY % {"name": name}
    if paths:
        code += _GLIBC % " ".join(f'"{path}\\0"' for path in paths)
    return compile_stand_in(
        sources, name, code, output, "-shared", f"-Wl,-soname,{output.name}",
        "-Wl,--no-as-needed", *needed,
    )  # fmt: skip


def versioned_library(sources: Path, output: Path, version: str) -> Path:
    """Make a library whose only function, ``stand_in()``, has a version such as ``GLIBC_2.35``."""
    script = sources / f"{version}.map"
    script.write_text(f"{version} {{ global: *; }};\n")
    return compile_stand_in(
        sources, version, "int stand_in(void);\nint stand_in(void) { return 0; }\n", output, "-shared",
        f"-Wl,-soname,{output.name}", f"-Wl,--version-script,{script}",
    )  # fmt: skip


def compile_stand_in(sources: Path, name: str, code: str, output: Path, *options: str | Path) -> Path:
    """Compile ``code``, which needs no library, in the folder ``sources``."""
    source = sources / f"{name}.c"
    source.write_text(code)
    flags: Sequence[str] = (
        "-target", "x86_64-linux-none", "-O1", "-g0", "-fPIC", "-ffreestanding", "-nostdlib",
        "-fno-sanitize=undefined", "-fno-stack-protector", "-Wl,--build-id=none",
    )  # fmt: skip
    zig_cc(*flags, source, *options, "-o", output)
    return output
