"""A stand-in for the builtin enclave: it can be configured, measured and signed, but never run.

Unit tests of the stages between take it instead of the real ``libos.so``, which takes a minute to compile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.programs import REPOSITORY, zig_cc

if TYPE_CHECKING:
    from pathlib import Path

# The smallest file that the Intel SDK's signer takes: an entry point, the runtime's global data with its
# version (2.26), and a note with room for the metadata, outside all segments.
_SOURCE = r"""
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default"), used))

EXPORTED const uint8_t measured_configuration[0x10000]
    __attribute__((section(".configuration"), aligned(4096))) = {0};

EXPORTED struct {
    uint64_t sdk_version;
    uint8_t rest[8184];
} g_global_data = {(2ULL << 32) | (26ULL << 16) | 100, {0}};

EXPORTED void enclave_entry(void) {
    for (;;) {
    }
}

__asm__(".pushsection .note.sgxmeta, \"\", @note\n"
        ".balign 4\n"
        ".long 13, 0x6000, 1\n"
        ".ascii \"sgx_metadata\\0\"\n"
        ".zero 0x6000\n"
        ".balign 4\n"
        ".popsection\n");
"""


def stand_in_enclave(output: Path) -> Path:
    """Compile the stand-in."""
    source = output.with_suffix(".c")
    source.write_text(_SOURCE)
    zig_cc(
        "-target", "x86_64-linux-none", "-O1", "-g0", "-fPIC", "-ffreestanding", "-nostdlib", "-shared",
        "-fno-sanitize=undefined", "-fno-stack-protector", "-Wl,-z,norelro", "-Wl,--build-id=none",
        "-Wl,-e,enclave_entry", source, "-o", output,
    )  # fmt: skip
    return output


def native_files(folder: Path) -> Path:
    """Return a folder with the native files: the real ones where they are built, stand-ins otherwise."""
    real = REPOSITORY / "enclavize" / "_native"
    if all((real / name).is_file() for name in ("libos.so", "runelet")):
        return real
    stand_in_enclave(folder / "libos.so")
    (folder / "runelet").write_bytes(b"a stand-in")
    return folder
