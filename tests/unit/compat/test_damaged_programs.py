"""Damaged ELF files, programs and libraries, are judged without an error, from the scan to the report."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from enclavize.compat.profile import builtin_profiles
from enclavize.compat.rules import check
from enclavize.compat.subject import Subject
from enclavize.rootfs.elf import ElfScanner
from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.tree import Rootfs
from support.scale import scaled

if TYPE_CHECKING:
    from enclavize.oci.image import Image

BYTES = (0, 1, 0x7F, 0x80, 0xFF)
SIZE = 200_000


LIBRARIES = Path("/lib/x86_64-linux-gnu")


@pytest.mark.parametrize("name", ["bash", "ls", "busybox", "libc.so.6", "libstdc++.so.6"])
def test_damaged_files_give_a_report(name: str) -> None:
    found = LIBRARIES / name if ".so" in name else Path(shutil.which(name) or LIBRARIES / name)
    if not found.exists():
        pytest.skip(f"not installed here: {name}")
    data = found.read_bytes()[:SIZE]
    profiles = builtin_profiles()
    random_ = random.Random(name)
    for _ in range(scaled(3000)):
        damaged = bytearray(data)
        for _ in range(random_.randint(1, 60)):
            at = random_.randrange(random_.choice((64, 600, 5000, len(damaged))))
            damaged[at] = random_.choice((*BYTES, random_.randrange(256)))
        if random_.random() < 0.2:
            del damaged[random_.randrange(len(damaged)) :]
        subject = _subject(bytes(damaged))
        for profile in profiles:
            report = check(subject, cast("Image", SimpleNamespace(name="image")), profile)
            assert report.advice.reasons


def _subject(data: bytes) -> Subject:
    scanner = ElfScanner()
    scanner.feed(data)
    elf = scanner.facts()
    program = Entry(path="program", type=FileType.REGULAR, mode=0o755, size=len(data), elf=elf)
    entries = [program]
    if elf and not elf.interpreter:
        user = ElfFacts(bits=64, machine=62, type=3, interpreter="/lib64/ld.so", needed=("lib",))
        entries = [replace(program, path="lib/lib"), replace(program, elf=user)]
    folders = [Entry(path=path, type=FileType.DIRECTORY, mode=0o755) for path in ("lib", "lib64")]
    return Subject(
        rootfs=Rootfs([*folders, *entries], merkle_reader=lambda _: b""),
        arguments=("/program",),
        working_directory="/",
        environment={"PATH": ""},
        uid=1,
        gids=frozenset(),
    )
