"""ELF facts: real files as pyelftools sees them, in any pieces, and damaged files without an error."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from enclavize.rootfs.elf import ElfScanner
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
        assert facts.static == (not interpreter and not facts.needed and (facts.pie or facts.type == 2))


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
