"""ELF facts: real files as pyelftools sees them, in any pieces, and damaged files without an error."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from enclavize.rootfs import accelerator, elf_code, elf_symbols, native_code
from enclavize.rootfs.elf import ElfScanner
from enclavize.rootfs.elf_code import MAX_CODE_SIZE, MAX_SITES, CodeScan
from enclavize.rootfs.elf_symbols import (
    WATCHED,
    defined_versions,
    needed_versions,
    undefined_names,
    watched_imports,
)
from enclavize.rootfs.native_code import NativeCodeScan
from support.programs import need_native
from support.scale import scaled

if TYPE_CHECKING:
    from enclavize.rootfs.entry import ElfFacts

FILES = sorted(
    {
        Path(found).resolve()
        for name in ("sh", "ls", "python3", "busybox", "go", "umoci", "runc", "perl")
        if (found := shutil.which(name)) and Path(found).read_bytes().startswith(b"\x7fELF")
    }
    | {path.resolve() for path in Path("/lib/x86_64-linux-gnu").glob("lib[cmz].so.*")}
    | {path.resolve() for path in Path("/lib64").glob("ld-linux*")}
)


def scan(data: bytes, piece: int = 1 << 20) -> ElfFacts | None:
    """Return the facts of a file that comes in pieces; the first one has 64 KiB at least."""
    scanner = ElfScanner()
    first = max(piece, 64 << 10)
    scanner.feed(data[:first])
    for at in range(first, len(data), piece):
        scanner.feed(memoryview(data)[at : at + piece])
    return scanner.facts()


def with_large_table(name_at: int, table_size: int = 9 << 20) -> bytes:
    """Return a program whose dynamic section, behind a table of strings, needs the one at an offset."""
    strings = bytearray(table_size)
    strings[8_500_000:8_500_008] = b"libz.so\0"
    at = 0x1000 + table_size
    dynamic = b"".join(
        struct.pack("<qQ", *entry) for entry in ((1, name_at), (5, 0x1000), (10, table_size), (0, 0))
    )
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, at + len(dynamic), at + len(dynamic), 0x1000)
    section = struct.pack("<IIQQQQQQ", 2, 4, at, at, at, len(dynamic), len(dynamic), 8)
    return (header + load + section).ljust(0x1000, b"\0") + bytes(strings) + dynamic


@pytest.mark.parametrize(
    ("name_at", "cut", "complete"), [(8_500_000, 0, True), (10 << 20, 0, False), (8_500_000, 1, False)]
)
def test_a_name_that_is_not_looked_at_is_no_damage(name_at: int, cut: int, complete: bool) -> None:
    data = with_large_table(name_at)
    facts = scan(data[: len(data) - cut])
    assert facts is not None
    assert (facts.complete, facts.needed) == (complete, ())


@pytest.mark.skipif(not FILES, reason="no ELF files here")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_files(path: Path) -> None:
    data = path.read_bytes()
    facts = scan(data)
    assert facts is not None
    assert facts.complete
    assert facts == scan(data, 100_001)
    with path.open("rb") as stream:
        file = ELFFile(stream)
        assert (facts.bits, facts.machine) == (file.elfclass, 62)
        assert facts.type == {"ET_EXEC": 2, "ET_DYN": 3}[file.header.e_type]
        tags: list[Any] = []
        interpreter = ""
        for segment in file.iter_segments():
            if segment.header.p_type == "PT_INTERP":
                interpreter = cast("Any", segment).get_interp_name()
            if isinstance(segment, DynamicSegment):
                tags = list(segment.iter_tags())
        assert facts.interpreter == interpreter
        assert facts.needed == tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
        assert facts.soname == next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), "")
        assert facts.runpath == next((tag.runpath for tag in tags if tag.entry.d_tag == "DT_RUNPATH"), "")
        assert facts.imports == _imports(file)
        assert facts.versions == _versions(file, ".gnu.version_r")
        assert facts.defines == _versions(file, ".gnu.version_d")
        assert facts.static == (not interpreter and not facts.needed and (facts.pie or facts.type == 2))


def _imports(file: ELFFile) -> tuple[str, ...]:
    table: Any = file.get_section_by_name(".dynsym")
    symbols = table.iter_symbols() if table else ()
    return tuple(
        sorted(
            symbol.name
            for symbol in symbols
            if symbol.entry.st_shndx == "SHN_UNDEF" and symbol.entry.st_info.bind != "STB_WEAK"
            if symbol.name.encode() in WATCHED
        )
    )


def _versions(file: ELFFile, name: str) -> tuple[str, ...]:
    section: Any = file.get_section_by_name(name)
    highest: dict[str, tuple[int, ...]] = {}
    for _, auxiliaries in section.iter_versions() if section else ():
        for auxiliary in auxiliaries:
            family, _, version = auxiliary.name.replace("GLIBC_ABI_DT_RELR", "GLIBC_2.36").partition("_")
            if family in ("GLIBC", "GLIBCXX", "CXXABI", "GCC") and version[0].isdigit():
                number = tuple(map(int, version.split(".")))
                highest[family] = max(number, highest.get(family, ()))
    return tuple(f"{family}_{'.'.join(map(str, highest[family]))}" for family in sorted(highest))


def test_go_programs_name_their_toolchain() -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("not installed here: go")
    facts = scan(Path(go).resolve().read_bytes())
    assert facts is not None
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True)
    assert facts.toolchain == version.stdout.strip()


CODE = [(0, 1 << 40)]


@pytest.mark.parametrize("cut", [*range(1, 31)])
def test_system_calls_are_told_by_the_number_loaded_before(cut: int) -> None:
    code = b"\x90\x90\xb8\x29\0\0\0\x31\xff\x0f\x05\x90\xb8\x01\0\0\0\xcd\x80\x0f\x01\xf9\x90\x0f\x05\x90"
    code += b"\x89\xe5\x0f\x34\x90"
    found = CodeScan(CODE)
    found.feed(0, code[:cut])
    found.feed(cut, code[cut:])
    assert found.syscalls == (41,)
    assert found.instructions == ("int80", "rdtscp", "sysenter")


def test_of_two_numbers_the_last_counts_and_data_is_no_code() -> None:
    code = b"\xb8\x01\0\0\0\xb8\x02\0\0\0\x0f\x05"
    found = CodeScan(CODE)
    found.feed(0, code)
    assert found.syscalls == (2,)
    data = CodeScan([(len(code), 1 << 40)])
    data.feed(0, code + bytes(100))
    assert data.syscalls == ()


def test_what_is_looked_at_is_bounded() -> None:
    found = CodeScan(CODE)
    found.feed(0, bytes(MAX_CODE_SIZE))
    found.feed(MAX_CODE_SIZE, b"\xb8\x02\0\0\0\x0f\x05" * 10)
    assert found.syscalls == ()


def test_hostile_tables_give_nothing() -> None:
    random_ = random.Random(2)
    for _ in range(scaled(2000)):
        table, strings = random_.randbytes(random_.randrange(400)), random_.randbytes(100)
        assert watched_imports(table, strings) == ()
        needed_versions(table, strings)
        defined_versions(table, strings)
    endless = struct.pack("<HHIII", 1, 0xFFFF, 0, 0, 0) + bytes(100)
    assert needed_versions(endless, b"\0GLIBC_2.1\0") == ()
    long = struct.pack("<HHHHIII", 1, 0, 1, 1, 0, 20, 28) + struct.pack("<II", 1, 0)
    assert defined_versions(long * 5000, b"\0GLIBC_2.1\0") == ("GLIBC_2.1",)


def test_damaged_files_raise_nothing() -> None:
    data = bytearray(Path("/bin/sh").read_bytes()) if Path("/bin/sh").exists() else bytearray(100_000)
    random_ = random.Random(1)
    for _ in range(scaled(4000)):
        damaged = data[: random_.choice((0, 5, 60, 100, 1000, len(data)))]
        for _ in range(random_.randint(1, 30)):
            if damaged:
                at = random_.randrange(min(len(damaged), random_.choice((64, 1000, len(damaged)))))
                damaged[at] = random_.choice((0, 1, 0x7F, 0xFF, random_.randrange(256)))
        scan(bytes(damaged), 20_000)


def test_other_byte_orders_and_classes_are_no_error() -> None:
    assert scan(b"\x7fELF") is None
    assert scan(b"\x7fELF\x02\x02" + bytes(100)) is None
    assert scan(b"\x7fELF\x03\x01" + bytes(100)) is None


CODE_WORDS = (
    *(b"\xb8\x29\0\0\0", b"\xb8\xff\x03\0\0", b"\xb8\0\x04\0\0", b"\xb8", b"\0"),
    *(b"\x0f\x05", b"\x0f\x34", b"\x0f\x01\xf9", b"\x0f\x01", b"\xcd\x80", b"\x89\xe5", b"\x8b\xec"),
    *(b"\x0f", b"\x05", b"\xcd", b"\x80", b"\xf9", b"\x90", b"\x90" * 7, bytes(40)),
)
MARKS = (
    *(b"\xff Go buildinf:", b"\xff Go buildinf:\x08\x02" + bytes(16) + b"\x08go1.22.1", b"\xff Go"),
    *(b"rustc version 1.80.0 (x)", b"rustc version ", b"rustc"),
)


@pytest.mark.parametrize("limits", [(MAX_CODE_SIZE, MAX_SITES), (700, 9)], ids=["all", "few"])
def test_native_code_finds_in_code_what_python_finds(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_native(accelerator.PORTABLE_LIBRARY)
    for module in (elf_code, native_code):
        monkeypatch.setattr(module, "MAX_CODE_SIZE", limits[0])
        monkeypatch.setattr(module, "MAX_SITES", limits[1])
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    toolchains = set()
    for _ in range(scaled(40_000, least=2000)):
        count = chance.choice((5, 50, 200))
        marks = chance.choice((0, 0, 2))
        weights = (*(1 for _ in CODE_WORDS), *(marks for _ in MARKS))
        words = chance.choices((*CODE_WORDS, *MARKS), weights=weights, k=count)
        data = b"".join(word.rjust(-(-len(word) // 16) * 16) if word in MARKS[:2] else word for word in words)
        ends = range(-(-len(data) // 16) * 16 + 100)
        ranges = [
            (min(pair), max(pair)) for pair in (chance.choices(ends, k=2) for _ in range(chance.randrange(4)))
        ]
        if chance.random() < 0.5:
            ranges = [(chance.choice((0, 16, 200)), chance.choice((len(data), 1 << 70)))]
        reference, native = CodeScan(ranges), NativeCodeScan(ranges)
        at = 0
        while at < len(data):
            size = chance.choice((1, 16, 127, 128, 129, 300, 1000))
            for found in (reference, native):
                found.feed(at, memoryview(data)[at : at + size])
            at += size
        for name in ("syscalls", "instructions", "toolchain"):
            assert getattr(native, name) == getattr(reference, name), name
        toolchains.add(reference.toolchain)
    assert {"go1.22.1", "rustc 1.80.0", ""} <= toolchains


def test_native_code_finds_the_symbols_that_python_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    need_native(accelerator.PORTABLE_LIBRARY)
    native = accelerator.native_undefined_names()
    assert native is not None
    monkeypatch.setattr(elf_symbols, "native_undefined_names", lambda: None)
    chance = random.Random(9)
    for count in (0, 1, 2, 300):
        symbols = b"".join(
            struct.pack(
                "<IBBHQQ", chance.choice((0, 1, 0xFFFFFFFF)), chance.randrange(256), chance.randrange(256),
                chance.choice((0, 0, 1, 0xFFFF)), chance.getrandbits(64), chance.getrandbits(64),
            )
            for _ in range(count)
        )  # fmt: skip
        assert native(symbols) == undefined_names(symbols)
        assert native(symbols + bytes(23)) == undefined_names(symbols)
