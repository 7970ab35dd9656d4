"""``--set``: memory=SIZE, threads=COUNT, kernel-heap=SIZE, fault-around=SIZE, switchless=COUNT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.cli.grammar.fields import parse_pair
from enclavize.cli.grammar.size import parse_size
from enclavize.errors import UsageError
from enclavize.libos.base import (
    MAX_FAULT_AROUND,
    MAX_MEMORY,
    MAX_SWITCHLESS,
    MAX_THREADS,
    MIN_MEMORY,
    Resources,
)
from enclavize.sgx.structures import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable


SETTINGS = ("memory", "threads", "kernel-heap", "fault-around", "switchless")


def parse_settings(texts: Iterable[str]) -> Resources:
    """Parse all values of ``--set``. Raises UsageError for unknown keys and values out of range."""
    settings: dict[str, str] = {}
    for text in texts:
        key, value = parse_pair(text, "--set")
        if key in settings:
            raise UsageError(f"--set {key} is given twice")
        if key not in SETTINGS:
            raise UsageError(
                f"--set {key}: there is no such setting", hint=f"settings: {', '.join(SETTINGS)}"
            )
        settings[key] = value
    defaults = Resources()
    return Resources(
        memory=_memory(settings["memory"]) if "memory" in settings else defaults.memory,
        threads=_threads(settings["threads"]) if "threads" in settings else defaults.threads,
        kernel_heap=_memory(settings["kernel-heap"], "kernel-heap") if "kernel-heap" in settings else None,
        fault_around=_fault_around(settings["fault-around"]) if "fault-around" in settings else None,
        switchless=_switchless(settings["switchless"]) if "switchless" in settings else defaults.switchless,
        given=tuple(sorted(settings)),
    )


def _memory(text: str, key: str = "memory") -> int:
    size = parse_size(text)
    if not MIN_MEMORY <= size <= MAX_MEMORY:
        raise UsageError(
            f"--set {key}={text}: an enclave has from {MIN_MEMORY >> 20}M to {MAX_MEMORY >> 30}G of memory"
        )
    return -(-size // PAGE_SIZE) * PAGE_SIZE


def _fault_around(text: str) -> int:
    size = parse_size(text)
    if not PAGE_SIZE <= size <= MAX_FAULT_AROUND or size % PAGE_SIZE:
        raise UsageError(
            f"--set fault-around={text}: a multiple of 4K, up to {MAX_FAULT_AROUND >> 20}M, is wanted"
        )
    return size


def _switchless(text: str) -> int:
    if text not in map(str, range(MAX_SWITCHLESS + 1)):
        raise UsageError(f"--set switchless={text}: a number from 0 to {MAX_SWITCHLESS} is wanted")
    return int(text)


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_THREADS or len(text) > 9:
        raise UsageError(f"--set threads={text}: a number from 1 to {MAX_THREADS} is wanted")
    return int(text)
