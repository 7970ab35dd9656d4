"""What an image itself says about its sizes: options of runtimes, in its arguments and in its variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_STATED = 1 << 40
"""Bytes; what is larger is no size of an enclave."""
MAX_STATED_THREADS = 4096

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_JVM_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTS", "CATALINA_OPTS")
_XMX = re.compile(r"-Xmx(?P<number>\d{1,13})(?P<unit>[kmgt]?)", re.ASCII | re.IGNORECASE)
_OLD_SPACE = re.compile(r"--max[-_]old[-_]space[-_]size=(?P<number>\d{1,13})(?P<unit>)", re.ASCII)
_GO_LIMIT = re.compile(r"(?P<number>\d{1,13})(?P<unit>[KMGT]?)(?:i?B)?", re.ASCII)
_HEX_LIMIT = re.compile(r"(?:0x)?(?P<number>[0-9a-f]{1,12})", re.ASCII | re.IGNORECASE)
_ZGC = re.compile(r"-XX:(?P<on>[+-])UseZGC(?!\w)", re.ASCII)
_COUNT = re.compile(r"\d{1,6}", re.ASCII)
_GC_VARIABLES = ("DOTNET_GCHeapHardLimit", "COMPlus_GCHeapHardLimit")
_THREAD_VARIABLES = (
    "GOMAXPROCS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS",
    "UV_THREADPOOL_SIZE",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A size of a heap in bytes or a number of threads, and how the image says it."""

    value: int
    text: str


def stated_heap(arguments: Sequence[str], environment: Mapping[str, str]) -> Stated | None:
    """Return the largest limit of a heap. Of several options in one text the last one counts."""
    return max(_heaps(arguments, environment), key=lambda found: found.value, default=None)


def wants_zgc(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tell whether a JVM is asked for its collector ZGC. Of several options in a text the last one counts."""
    texts = (" ".join(arguments), *(environment.get(name, "") for name in _JVM_VARIABLES))
    last = [found[-1]["on"] for text in texts if (found := list(_ZGC.finditer(text)))]
    return "+" in last


def stated_threads(environment: Mapping[str, str]) -> Stated | None:
    """Return the largest number of threads."""
    found = [
        Stated(value=int(text), text=f"{name}={text}")
        for name in _THREAD_VARIABLES
        if _COUNT.fullmatch(text := environment.get(name, "")) and int(text) <= MAX_STATED_THREADS
    ]
    return max(found, key=lambda found: found.value, default=None)


def _heaps(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[Stated]:
    options = " ".join(arguments)
    for text in (options, *(environment.get(name, "") for name in _JVM_VARIABLES)):
        yield from _last(_XMX, text, 1)
    for text in (options, environment.get("NODE_OPTIONS", "")):
        yield from _last(_OLD_SPACE, text, 1 << 20)
    if match := _GO_LIMIT.fullmatch(environment.get("GOMEMLIMIT", "")):
        yield from _bounded(_size(match), f"GOMEMLIMIT={match[0]}")
    for name in _GC_VARIABLES:
        if match := _HEX_LIMIT.fullmatch(environment.get(name, "")):
            yield from _bounded(int(match["number"], 16), f"{name}={match[0]}")


def _last(pattern: re.Pattern[str], text: str, unit: int) -> Iterator[Stated]:
    if found := list(pattern.finditer(text)):
        yield from _bounded(_size(found[-1]) * unit, found[-1][0])


def _size(match: re.Match[str]) -> int:
    return int(match["number"]) * _UNITS[match["unit"].lower()]


def _bounded(value: int, text: str) -> Iterator[Stated]:
    if 0 < value <= MAX_STATED:
        yield Stated(value=value, text=text)
