"""What can be known of a PAL without running it: that it is one, and that all it needs is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.oci.stream import chunks
from enclavize.rootfs.elf import ElfScanner
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rootfs.entry import ElfFacts
    from enclavize.rune.pal_list import PalList


def check_pal_files(pal: PalList, folder: Path, *more: str) -> None:
    """Look at the copies of a list's files, and at ``more`` of that folder. Raises EnclavizeError."""
    for name in (*pal.files, *more):
        facts = _facts(folder / name)
        if facts is None or not facts.is_x86_64:
            raise EnclavizeError(f"{pal.title}: {name} is no library for x86-64")
        for needed in facts.needed:
            if needed.rpartition("/")[2] not in pal.files:
                raise EnclavizeError(
                    f"{pal.title}: {name} needs {printable(needed)}, which is not listed",
                    hint="a list with all libraries is written by: enclavize toolchain pal",
                )


def _facts(path: Path) -> ElfFacts | None:
    scanner = ElfScanner()
    with path.open("rb") as stream:
        for piece in chunks(stream):
            scanner.feed(piece)
    return scanner.facts()
