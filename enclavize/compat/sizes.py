"""Advice on sizes: memory, threads and kernel heap, with the reasoning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enclavize.compat.stated import stated_heap, stated_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from enclavize.compat.profile import Profile, Sizes
    from enclavize.compat.program import Program
    from enclavize.rootfs.entry import ElfFacts

_MIB = 1 << 20
_BESIDE_HEAP = 512 * _MIB
"""What runtimes have beside the heap that an option limits: metaspace, code cache, stacks."""
_HEAP_STEP = 4 * _MIB
MOST_HEAP = 512 * _MIB
"""What is advised for files at most: the heap is there from the start, and few programs use them all."""
_OWN_DESCRIPTORS = 128
"""Beside those of files: libraries, standard streams, sockets."""
_NATIVE_THREADS = 64
"""For programs of no known runtime that import pthread_create: as many as servers usually have workers."""
_OWN_THREADS = 8
"""Threads beside those that a variable sets: the first one, the runtime's, the LibOS's."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Bytes and counts; ``kernel_heap`` is 0 where the LibOS has none of its own.

    ``descriptors`` of the host are open when all files were used; 0: there is one for each open file alone.
    """

    memory: int
    threads: int
    kernel_heap: int
    descriptors: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a runtime wants beside its own files, as its demos in LibOSes are sized."""

    memory: int
    threads: int
    kernel_heap: int
    why: str


NEEDS = {
    "go": Need(
        memory=512 * _MIB, threads=32, kernel_heap=32 * _MIB,
        why="Go reserves arenas and starts a thread for each CPU and each blocking call",
    ),
    "jvm": Need(
        memory=1536 * _MIB, threads=64, kernel_heap=64 * _MIB,
        why="a JVM has heap, metaspace and code cache, and threads for compiling and collecting",
    ),
    "cpython": Need(memory=512 * _MIB, threads=32, kernel_heap=256 * _MIB, why="CPython with its modules"),
    "node": Need(
        memory=2048 * _MIB, threads=32, kernel_heap=64 * _MIB,
        why="V8 reserves its heap; libuv and V8 have a pool of threads each",
    ),
    "dotnet": Need(
        memory=2048 * _MIB, threads=64, kernel_heap=64 * _MIB,
        why=".NET reserves its heap, and a thread for each CPU",
    ),
    "erlang": Need(
        memory=2048 * _MIB, threads=64, kernel_heap=64 * _MIB,
        why="BEAM reserves a GiB for literals, and has two schedulers for each CPU and ten for files",
    ),
}  # fmt: skip
"""Sizes of the demos of Occlum and Gramine, rounded; of Erlang by erl(1): ``+MIscs``, ``+S``, ``+SDio``."""


def heap_for_files(sizes: Sizes, entries: int, started: int = 0) -> int:
    """Return the bytes of the LibOS's own heap when all files were used; 0 if that takes none.

    A quarter of the default is for everything else. ``started`` are the bytes of the program's file: while
    Occlum starts it, it holds a buffer of that size (``read_elf64_lazy_as_vec`` of rcore-fs, since 0.21.0).
    """
    if not sizes.heap_per_file:
        return 0
    return -(-(sizes.kernel_heap // 4 + entries * sizes.heap_per_file + started) // _HEAP_STEP) * _HEAP_STEP


def descriptors_for_files(sizes: Sizes, entries: int) -> int:
    """Return how many descriptors of the host are open when all files were used; 0 if they are closed."""
    return entries + _OWN_DESCRIPTORS if sizes.heap_per_file else 0


def largest(advices: Iterable[Advice]) -> Advice:
    """Return what is enough for each step of a command line: mostly one takes the place of another."""
    found = list(dict.fromkeys(advices))
    most = max(found, key=lambda advice: (advice.memory, advice.threads))
    return replace(
        most,
        threads=max(advice.threads for advice in found),
        kernel_heap=max(advice.kernel_heap for advice in found),
    )


def advise(
    program: Program,
    profile: Profile,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    entries: int,
) -> Advice:
    """Return sizes for a program: never less than the defaults of the LibOS.

    ``entries`` are the files and folders of the image.
    """
    files = sum(entry.size for entry in program.files if entry.elf is not None)
    sizes = profile.sizes
    memory = max(sizes.minimum_memory, 2 * files + 64 * _MIB)
    threads, kernel_heap = _OWN_THREADS, sizes.kernel_heap
    reasons = [
        f"the program and its libraries: {-(-files // _MIB)} MiB, twice; 64 MiB for heap and stacks",
    ]
    heap = stated_heap(arguments, environment)
    if heap:
        memory = max(memory, files + heap.value + _BESIDE_HEAP)
        reasons.append(
            f"{heap.text} in the image: {-(-heap.value // _MIB)} MiB, "
            f"and {_BESIDE_HEAP // _MIB} MiB beside it"
        )
    for runtime in sorted(program.runtimes, key=lambda runtime: runtime.name):
        if need := NEEDS.get(runtime.name):
            memory, threads = memory if heap else max(memory, files + need.memory), max(threads, need.threads)
            kernel_heap = max(kernel_heap, need.kernel_heap) if kernel_heap else 0
            size = "" if heap else f"{need.memory // _MIB} MiB and "
            reasons.append(f"{need.why}: {size}{need.threads} threads")
    started = program.executable.size if program.executable else 0
    if (for_start := heap_for_files(sizes, 0, started)) > kernel_heap:
        reasons.append(f"the program's file has {-(-started // _MIB)} MiB: as much kernel heap to start it")
    if (for_files := heap_for_files(sizes, entries, started)) > max(kernel_heap, for_start):
        reasons.append(
            f"{entries} files and folders: {sizes.heap_per_file >> 10} KiB of kernel heap for each in use"
            + (f", but no more than {MOST_HEAP // _MIB} MiB" if for_files > MOST_HEAP else "")
        )
    kernel_heap = max(kernel_heap, for_start, min(for_files, MOST_HEAP))
    if not program.runtimes and any("pthread_create" in elf.imports for elf in _elf_files(program)):
        threads = max(threads, _NATIVE_THREADS)
        reasons.append(f"it starts threads, and how many cannot be told: {_NATIVE_THREADS}")
    if stated := stated_threads(environment):
        threads = max(threads, stated.value + _OWN_THREADS)
        reasons.append(f"{stated.text} in the image: as many threads, and {_OWN_THREADS} more")
    if memory < sizes.memory or threads < sizes.threads:
        reasons.append(
            f"the default of {profile.title} is {sizes.memory // _MIB} MiB and {sizes.threads} threads"
        )
    return Advice(
        memory=max(-(-memory // (16 * _MIB)) * 16 * _MIB, sizes.memory),
        threads=max(threads, sizes.threads),
        kernel_heap=kernel_heap,
        descriptors=descriptors_for_files(sizes, entries),
        reasons=tuple(reasons),
    )


def _elf_files(program: Program) -> Iterator[ElfFacts]:
    """Yield what is known of the program and its libraries, but for the loader and the C library's own."""
    for entry in (*([program.executable] if program.executable else []), *program.libraries):
        if entry.elf is not None:
            yield entry.elf
