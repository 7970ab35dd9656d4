"""Entries of root file systems that were never written."""

from __future__ import annotations

from typing import Any

from enclavize.rootfs.entry import ElfFacts, Entry, FileType


def program(path: str, **facts: Any) -> Entry:
    """Return a static program; ``facts`` are those of its ELF file that matter."""
    elf = ElfFacts(**{"bits": 64, "machine": 62, "type": 2, "pie": False, "static": True, **facts})
    return Entry(path=path, type=FileType.REGULAR, mode=0o755, size=1, elf=elf, data_path=path)


def script(path: str, text: str) -> Entry:
    """Return a script, whose first line names its interpreter."""
    line = text.partition("\n")[0].removeprefix("#!")
    return Entry(
        path=path, type=FileType.REGULAR, mode=0o755, interpreter_line=line, content=text.encode(),
        data_path=path,
    )  # fmt: skip
