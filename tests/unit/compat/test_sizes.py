"""Advice on sizes: from the files, the runtime, and what the image says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.compat.profile import profile_for
from enclavize.compat.program import Program
from enclavize.compat.runtimes import Runtime
from enclavize.compat.sizes import NEEDS, advise
from enclavize.compat.stated import stated_heap, stated_threads
from enclavize.rootfs.entry import ElfFacts, Entry, FileType

if TYPE_CHECKING:
    from enclavize.compat.sizes import Advice

MIB = 1 << 20


def advice(
    size: int = 0, *arguments: str, libos: str = "builtin", runtime: str = "", entries: int = 1, **env: str
) -> Advice:
    elf = ElfFacts(bits=64, machine=62, type=3)
    entry = Entry(path="bin/app", type=FileType.REGULAR, mode=0o755, size=size, elf=elf)
    runtimes = (Runtime(name=runtime, version="", entry=entry),) if runtime else ()
    program = Program(executable=entry, runtimes=runtimes)
    return advise(program, profile_for(libos), ("app", *arguments), env, entries=entries)


def test_small_programs_get_the_defaults_and_the_reason() -> None:
    found = advice()
    sizes = profile_for("builtin").sizes
    assert (found.memory, found.threads) == (sizes.memory, sizes.threads)
    assert "default of builtin" in found.reasons[-1]


def test_large_programs_get_twice_their_files() -> None:
    found = advice(2000 * MIB)
    assert found.memory == 4064 * MIB
    assert "2000 MiB, twice" in found.reasons[0]
    assert found.memory % (16 * MIB) == 0


def test_runtimes_get_what_their_demos_need() -> None:
    found = advice(libos="occlum", runtime="cpython")
    assert found.kernel_heap == NEEDS["cpython"].kernel_heap
    assert advice(libos="gramine", runtime="cpython").kernel_heap == 0
    assert advice(runtime="node").memory >= NEEDS["node"].memory


@pytest.mark.parametrize(
    ("entries", "heap"),
    # Python's tree of 5,674 entries takes 128M; a quarter of the default, 8M, is for all else.
    [(1, 32), (1024, 32), (1025, 36), (5674, 144), (15_000, 360), (21_504, 512), (100_000, 512)],
)
def test_files_take_heap_of_the_libos(entries: int, heap: int) -> None:
    found = advice(libos="occlum", entries=entries)
    assert found.kernel_heap == heap * MIB
    assert found.descriptors == entries + 128
    assert any(f"{entries} files and folders" in reason for reason in found.reasons) == (heap > 32)
    assert any("no more than 512 MiB" in reason for reason in found.reasons) == (entries > 21_504)
    for other in ("builtin", "gramine"):
        none = advice(libos=other, entries=entries)
        assert (none.kernel_heap, none.descriptors) == (0, 0)


@pytest.mark.parametrize(
    ("size", "entries", "heap"),
    [(20, 1, 32), (24, 1, 36), (100, 1, 112), (100, 1000, 132), (600, 1, 608), (600, 30_000, 608)],
)
def test_a_large_program_takes_heap_of_the_libos_to_start(size: int, entries: int, heap: int) -> None:
    found = advice(size * MIB, libos="occlum", entries=entries)
    assert found.kernel_heap == heap * MIB
    assert any(f"file has {size} MiB" in reason for reason in found.reasons) == (size > 24)
    assert advice(size * MIB, libos="gramine", entries=entries).kernel_heap == 0


def test_a_limit_of_the_heap_takes_the_place_of_the_runtimes_need() -> None:
    large = advice(0, "-Xmx4g", runtime="jvm")
    assert large.memory == 4096 * MIB + 512 * MIB
    assert any(reason.startswith("-Xmx4g in the image: 4096 MiB") for reason in large.reasons)
    small = advice(0, "-Xmx256m", runtime="jvm", libos="gramine")
    assert small.memory == 768 * MIB
    assert small.threads == NEEDS["jvm"].threads


def test_threads_that_the_image_sets_are_added() -> None:
    found = advice(OMP_NUM_THREADS="100")
    assert found.threads == 108
    assert any("OMP_NUM_THREADS=100" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["java", "-Xmx512m", "-Xmx1g"], {}, 1024),
        (["sh"], {"JAVA_TOOL_OPTIONS": "-Xms1g -Xmx2G -Dx"}, 2048),
        (["node", "--max-old-space-size=300", "a.js"], {}, 300),
        (["node"], {"NODE_OPTIONS": "--max_old_space_size=4096"}, 4096),
        (["server"], {"GOMEMLIMIT": "750MiB"}, 750),
        (["server"], {"GOMEMLIMIT": "1073741824"}, 1024),
        (["server"], {"GOMEMLIMIT": "off"}, None),
        (["app"], {"DOTNET_GCHeapHardLimit": "0x10000000"}, 256),
        (["app"], {"DOTNET_GCHeapHardLimit": "many"}, None),
        (["java", "-Xmx99999999999g"], {}, None),
        (["java", "-Xmx" + "9" * 5000], {}, None),
        (["java", "-Xmx0"], {}, None),
        ([], {}, None),
    ],
)
def test_limits_of_heaps_are_read(
    arguments: list[str], environment: dict[str, str], expected: int | None
) -> None:
    found = stated_heap(arguments, environment)
    assert (found.value // MIB if found else None) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"UV_THREADPOOL_SIZE": "16", "GOMAXPROCS": "4"}, 16),
        ({"OMP_NUM_THREADS": "4,2"}, None),
        ({"OMP_NUM_THREADS": "99999"}, None),
        ({}, None),
    ],
)
def test_numbers_of_threads_are_read(environment: dict[str, str], expected: int | None) -> None:
    found = stated_threads(environment)
    assert (found.value if found else None) == expected
