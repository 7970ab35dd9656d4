"""What others have published of layout and measurement, against what the PAL's backend loads.

Intel's ``sgx_sign`` measured and signed the enclave of tests/vectors/intel; the PAL, compiled for the address
range of that enclave, has to load it so that EINIT of the fake accepts Intel's SIGSTRUCT. The kernel's
self-test (tools/testing/selftests/sgx/load.c and sigstruct.c of Linux 6.1) tells which pages its enclave has,
and how each is added and measured.
"""

from __future__ import annotations

import hashlib
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from enclavize.sgx.measurement import MrenclaveHasher
from support.programs import need
from support.sgx_fake import FAKE, SOURCES, Machine, compile_c, host_zig_objects, redirects, vdso_of
from support.torture import NATIVE
from support.vectors import INTEL, cases

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = {
    "ELRANGE_SIZE": 0x4000000,
    "ENCLAVE_IMAGE_ADDRESS": 0x200000,
    "APPLICATION_END": 0x100000,
    "LIBOS_DYNAMIC_START": 0x100000,
    "LIBOS_DYNAMIC_END": 0x200000,
}
"""The vector "elrange", and dynamic memory below its image."""

CHANGES = {
    "sgx_machine.c": ("#define ELRANGE_BITS 36U", "#define ELRANGE_BITS 26U"),
    # What sgx_sign writes without MiscSelect: the builtin LibOS would not run so, and nothing else changes.
    "enclave.c": ("if (!(enclave->misc_select & MISC_EXINFO)) {", "if (0) {"),
}


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The PAL for another address range, on the fake."""
    need("gcc")
    folder = tmp_path_factory.mktemp("loader")
    layout = (NATIVE / "include" / "abi.h").read_text()
    for name, value in LAYOUT.items():
        layout, count = re.subn(rf"(#define {name}) 0x\w+ULL", rf"\1 {value:#x}ULL", layout)
        assert count == 1, name
    (folder / "abi.h").write_text(layout)
    sources = [*sorted((NATIVE / "pal").glob("*.[cS]")), FAKE / "load.c", *(FAKE / name for name in SOURCES)]
    for name, (old, new) in CHANGES.items():
        text = (NATIVE / "pal" / name).read_text()
        assert text.count(old) == 1, name
        (folder / name).write_text(text.replace(old, new))
        sources[sources.index(NATIVE / "pal" / name)] = folder / name
    flags, changed = redirects(vdso_of(folder)), ("-O0", "-include", str(folder / "abi.h"))
    objects = [folder / f"{source.parent.name}-{source.name}.o" for source in sources]
    with ThreadPoolExecutor(max_workers=2) as pool:
        compiling = [
            pool.submit(
                compile_c, "-c", source, "-o", target, *flags, *(changed if source.suffix == ".c" else ())
            )
            for source, target in zip(sources, objects, strict=True)
        ]
    for one in compiling:
        one.result()
    compile_c("-pie", *objects, *host_zig_objects(folder), "-pthread", "-o", folder / "load")
    return Machine(program=folder / "load")


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """The file that ``sgx_sign`` wrote: the unsigned one with its metadata in the note."""
    case = next(case for case in cases(INTEL) if case["name"] == "elrange")
    signed = bytearray((INTEL / case["enclave"]).read_bytes())
    metadata, offset = (INTEL / case["metadata"]).read_bytes(), case["metadata_file_offset"]
    signed[offset : offset + len(metadata)] = metadata
    assert hashlib.sha256(signed).hexdigest() == case["signed_so_sha256"]
    (tmp_path / "enclave.signed.so").write_bytes(signed)
    return tmp_path


def test_einit_accepts_what_intels_tool_measured_and_signed(loader: Machine, instance: Path) -> None:
    done = loader.run(instance)
    assert done.returncode == 0, done.stderr
    assert "fake: refused" not in done.stderr


def test_einit_is_the_judge_of_it(loader: Machine, instance: Path) -> None:
    """Else the test above would show nothing: a byte of the enclave's text is another one."""
    path = instance / "enclave.signed.so"
    changed = bytearray(path.read_bytes())
    at = changed.index(b"\x7fELF") + 0x1000
    changed[at] ^= 1
    path.write_bytes(changed)
    assert loader.run(instance).returncode == 125


def test_measurement_is_that_of_the_kernels_self_test() -> None:
    """mrenclave_ecreate(), mrenclave_eadd(), mrenclave_eextend(): tags, then the fields, in 64 bytes."""
    size, tcs, text, data = 0x8000, bytes(0x1000), bytes([0xC3]) * 0x2000, bytes(range(256)) * 32
    heap = 0x1000
    segments = [  # load.c: TCS, text, data, and a heap that is not measured
        (0, tcs, 1 << 8, True),
        (0x1000, text, 2 << 8 | 1 | 4, True),
        (0x3000, data, 2 << 8 | 1 | 2, True),
        (0x5000, bytes(heap), 2 << 8 | 1 | 2, False),
    ]
    expected = hashlib.sha256(struct.pack("<QIQ", 0x0045544145524345, 1, size).ljust(64, b"\0"))
    hasher = MrenclaveHasher()
    hasher.ecreate(1, size)
    for start, content, flags, is_measured in segments:
        for offset in range(start, start + len(content), 0x1000):
            expected.update(struct.pack("<QQQ", 0x0000000044444145, offset, flags).ljust(64, b"\0"))
            for chunk in range(0, 0x1000 if is_measured else 0, 0x100):
                expected.update(struct.pack("<QQ", 0x00444E4554584545, offset + chunk).ljust(64, b"\0"))
                expected.update(content[offset - start + chunk :][:0x100])
        if is_measured:
            hasher.add_data(start, content, flags)
        else:
            hasher.add_pages(start, len(content) // 0x1000, flags)
    assert hasher.digest() == expected.digest()
