"""Damaged and hostile ELF files are judged without an error, from the scan to the report."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from enclavize.compat.profile import builtin_profiles
from enclavize.compat.rules import Subject, check
from enclavize.rootfs.elf import ElfScanner
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import Rootfs
from support.scale import scaled

if TYPE_CHECKING:
    from enclavize.oci.image import Image

BYTES = (0, 1, 0x7F, 0x80, 0xFF)
SIZE = 200_000


@pytest.mark.parametrize("name", ["bash", "ls", "busybox"])
def test_damaged_programs_give_a_report(name: str) -> None:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"not installed here: {name}")
    data = Path(found).read_bytes()[:SIZE]
    profiles = builtin_profiles()
    random_ = random.Random(name)
    for _ in range(scaled(4000)):
        damaged = bytearray(data)
        for _ in range(random_.randint(1, 60)):
            at = random_.randrange(random_.choice((64, 600, 5000, len(damaged))))
            damaged[at] = random_.choice((*BYTES, random_.randrange(256)))
        if random_.random() < 0.2:
            del damaged[random_.randrange(len(damaged)) :]
        for profile in profiles:
            subject = _subject(bytes(damaged))
            report = check(subject, cast("Image", SimpleNamespace(name="image")), profile)
            assert report.advice.reasons


def _subject(data: bytes) -> Subject:
    scanner = ElfScanner()
    scanner.feed(data)
    program = Entry(path="program", type=FileType.REGULAR, mode=0o755, size=len(data), elf=scanner.facts())
    return Subject(
        rootfs=Rootfs([program], merkle_reader=lambda _: b""),
        arguments=("/program",),
        working_directory="/",
        environment={"PATH": ""},
        uid=0,
        gids=frozenset(),
    )
