"""The form of Occlum.json: which members there are in a release, and what each may hold.

Occlum's own tool stops at some mistakes without saying which, and ends with success; unknown members it
passes over. Here each mistake has its message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from enclavize.libos.occlum.versions import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.libos.occlum.versions import Release

Problems = Iterator[tuple[str, str]]
"""Where, below what is checked, and what is wrong there."""

Rule = Callable[[Any], Problems]

UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40, "B": 1}
_SIZE = re.compile(r"\s*(\d{1,20})\s*(KB|MB|GB|TB|B)\s*", re.ASCII)
_HEX_ID = re.compile(r"(0x)?[0-9a-fA-F]{1,16}", re.ASCII)
_VARIABLE = re.compile(r"[^=\0]+", re.ASCII)

_LARGEST = 1 << 46
"""Bytes; more than a process has of address space."""

U16_MAX = 0xFFFF
U32_MAX = 0xFFFF_FFFF
MAX_IO_URINGS = 16

_MIN_THREADS = 2
"""One of them is the LibOS's own, which looks after interrupts (src/libos/src/interrupt)."""

_TYPES = ("sefs", "hostfs", "ramfs", "unionfs", "devfs", "procfs")
_TYPES_0_31 = (*_TYPES, "ext2")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of an object: its rule, whether it must be there, and the releases that know it."""

    rule: Rule
    required: bool = True
    since: Change | None = None
    until: Change | None = None

    def known_to(self, release: Release) -> bool:
        """Whether a release knows it."""
        return (self.since is None or release.has(self.since)) and not (
            self.until is not None and release.has(self.until)
        )


def problems(document: object, release: Release) -> list[str]:
    """Return what is wrong with the form of an Occlum.json; nothing of it is compared with anything else."""
    return [f"{where} {what}".strip() for where, what in _object(_members(release), release)(document)]


def is_size(value: object) -> TypeGuard[str]:
    """Tell a size that is well-formed."""
    return isinstance(value, str) and _SIZE.fullmatch(value) is not None


def bytes_of(text: str) -> int:
    """Return the bytes of a size that is well-formed: ``300MB``; units are powers of 1024."""
    match = _SIZE.fullmatch(text)
    assert match is not None
    return int(match[1]) * UNITS[match[2]]


def _members(release: Release) -> Mapping[str, Member]:
    types = _TYPES_0_31 if release.has(Change.THREADS_UNBOUND) else _TYPES
    options = {
        "MAC": Member(rule=_text, required=False),
        "temporary": Member(rule=_flag, required=False),
        "cache_size": Member(rule=_size, required=False, since=Change.CACHE_SIZE),
        "disk_size": Member(rule=_size, required=False, since=Change.THREADS_UNBOUND),
    }
    layer = _mount(types, options, release)
    layers = Member(rule=_array(layer), required=False)
    mount = _mount(types, {**options, "layers": layers}, release)
    kss_id = _object({"high": Member(rule=_hex_id), "low": Member(rule=_hex_id)}, release)
    return {
        "resource_limits": Member(
            rule=_object(
                {
                    "max_num_of_threads": Member(rule=_number(_MIN_THREADS, U32_MAX)),
                    "init_num_of_threads": Member(
                        rule=_number(1, U32_MAX), required=False, since=Change.EDMM
                    ),
                    "kernel_space_heap_size": Member(rule=_size),
                    "kernel_space_heap_max_size": Member(
                        rule=_size, required=False, since=Change.DYNAMIC_KERNEL_HEAP
                    ),
                    "kernel_space_stack_size": Member(rule=_size),
                    "user_space_size": Member(rule=_size),
                    "user_space_max_size": Member(rule=_size, required=False, since=Change.EDMM),
                },
                release,
            )
        ),
        "process": Member(
            rule=_object(
                {
                    "default_stack_size": Member(rule=_size),
                    "default_heap_size": Member(rule=_size),
                    "default_mmap_size": Member(rule=_size),
                },
                release,
            )
        ),
        "entry_points": Member(rule=_array(_entry_point, at_least=1)),
        "env": Member(
            rule=_object(
                {
                    "default": Member(rule=_array(_assignment)),
                    "untrusted": Member(rule=_array(_variable)),
                },
                release,
            )
        ),
        "metadata": Member(
            rule=_object(
                {
                    "product_id": Member(rule=_number(0, U16_MAX)),
                    "version_number": Member(rule=_number(0, U16_MAX)),
                    "debuggable": Member(rule=_flag),
                    "disable_log": Member(rule=_flag, required=False, since=Change.FEATURE),
                    "enable_kss": Member(rule=_flag, since=Change.KSS),
                    "family_id": Member(rule=kss_id, since=Change.KSS),
                    "ext_prod_id": Member(rule=kss_id, since=Change.KSS),
                    "pkru": Member(
                        rule=_number(0, 2), required=False, since=Change.PKRU, until=Change.FEATURE
                    ),
                    "amx": Member(
                        rule=_number(0, 2), required=False, since=Change.EDMM, until=Change.FEATURE
                    ),
                },
                release,
            )
        ),
        "feature": Member(
            rule=_object(
                {
                    "amx": Member(rule=_number(0, 2), required=False),
                    "pkru": Member(rule=_number(0, 2), required=False),
                    "io_uring": Member(
                        rule=_number(0, MAX_IO_URINGS), required=False, since=Change.THREADS_UNBOUND
                    ),
                    "enable_edmm": Member(rule=_flag, required=False),
                    "enable_posix_shm": Member(rule=_flag, required=False),
                },
                release,
            ),
            since=Change.FEATURE,
        ),
        "mount": Member(rule=_array(mount)),
    }


def _mount(types: tuple[str, ...], options: Mapping[str, Member], release: Release) -> Rule:
    return _object(
        {
            "type": Member(rule=_one_of(types)),
            "target": Member(rule=_absolute_path),
            "source": Member(rule=_text, required=False),
            "options": Member(rule=_object(options, release), required=False),
        },
        release,
    )


def _object(members: Mapping[str, Member], release: Release) -> Rule:
    def check(value: object) -> Problems:
        if not isinstance(value, dict):
            yield "", "is not an object"
            return
        for name in sorted(value.keys() - members.keys()):
            yield name, "is unknown"
        for name, member in members.items():
            if name not in value:
                if member.required and member.known_to(release):
                    yield name, "is missing"
            elif not member.known_to(release):
                yield name, f"does not exist in Occlum {release}"
            else:
                yield from _inside(name, member.rule(value[name]))

    return check


def _array(rule: Rule, *, at_least: int = 0) -> Rule:
    def check(value: object) -> Problems:
        if not isinstance(value, list):
            yield "", "is not an array"
            return
        if len(value) < at_least:
            yield "", "is empty"
        for index, item in enumerate(value):
            yield from _inside(f"[{index}]", rule(item))

    return check


def _inside(name: str, problems: Problems) -> Problems:
    for where, what in problems:
        yield f"{name}{where}" if where.startswith("[") or not where else f"{name}.{where}", what


def _size(value: object) -> Problems:
    if not is_size(value):
        yield "", f"is {_shown(value)}: a size is a whole number with a unit, KB, MB, GB, TB or B"
    elif not 0 < bytes_of(value) <= _LARGEST:
        yield "", f"is {_shown(value)}, which is no size that an enclave can have"


def _text(value: object) -> Problems:
    if not isinstance(value, str) or "\0" in value:
        yield "", f"is {_shown(value)}, not a text"


def _flag(value: object) -> Problems:
    if not isinstance(value, bool):
        yield "", f"is {_shown(value)}, neither true nor false"


def _number(low: int, high: int) -> Rule:
    def check(value: object) -> Problems:
        if not isinstance(value, int) or isinstance(value, bool):
            yield "", f"is {_shown(value)}, not a whole number"
        elif not low <= value <= high:
            yield "", f"is {value}, not between {low} and {high}"

    return check


def _one_of(names: tuple[str, ...]) -> Rule:
    def check(value: object) -> Problems:
        if value not in names:
            yield "", f"is {_shown(value)}, not one of {', '.join(names)}"

    return check


def _hex_id(value: object) -> Problems:
    if not isinstance(value, str) or not _HEX_ID.fullmatch(value):
        yield "", f"is {_shown(value)}: a text of up to 16 hexadecimal digits after 0x is wanted"


def _absolute_path(value: object) -> Problems:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        yield "", f"is {_shown(value)}, not an absolute path"


def _entry_point(value: object) -> Problems:
    if isinstance(value, str) and value.startswith("/") and ".." in value.split("/"):
        yield "", f"is {_shown(value)}: Occlum refuses '..' in the path of a program"
    else:
        yield from _absolute_path(value)


def _assignment(value: object) -> Problems:
    if not isinstance(value, str) or not _VARIABLE.match(value) or "=" not in value or "\0" in value:
        yield "", f"is {_shown(value)}, not of the form NAME=VALUE"


def _variable(value: object) -> Problems:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        yield "", f"is {_shown(value)}, which is no name of a variable"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
