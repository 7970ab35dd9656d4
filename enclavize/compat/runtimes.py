"""Recognise language runtimes by the files of a program."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.compat.program import Program
    from enclavize.rootfs.entry import Entry

_EXECUTABLES = (
    ("jvm", re.compile(r"java")),
    ("cpython", re.compile(r"python(\d+(\.\d+)?)?")),
    ("node", re.compile(r"node(js)?")),
    ("dotnet", re.compile(r"dotnet")),
)
_LIBRARIES = (
    ("jvm", re.compile(r"lib(jvm|jli)\.so")),
    ("cpython", re.compile(r"libpython\d+(\.\d+)?[a-z]*\.so.*")),
    ("node", re.compile(r"libnode\.so.*")),
    ("dotnet", re.compile(r"lib(coreclr|hostfxr|hostpolicy)\.so")),
)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime (go, jvm, cpython, node, dotnet, rust) and the file that tells; ``version`` may be ""."""

    name: str
    version: str
    entry: Entry


def find_runtimes(program: Program) -> tuple[Runtime, ...]:
    """Return the runtimes of a program, each once."""
    found: dict[str, Runtime] = {}
    for runtime in _candidates(program):
        found.setdefault(runtime.name, runtime)
    return tuple(found.values())


def _candidates(program: Program) -> Iterator[Runtime]:
    executable = program.executable
    if executable is None or executable.elf is None:
        return
    toolchain = executable.elf.toolchain
    if toolchain.startswith("go"):
        yield Runtime(name="go", version=toolchain.removeprefix("go"), entry=executable)
    elif toolchain.startswith("rustc"):
        yield Runtime(name="rust", version=toolchain.removeprefix("rustc "), entry=executable)
    for patterns, entries in ((_EXECUTABLES, [executable]), (_LIBRARIES, program.libraries)):
        for entry in entries:
            name = posixpath.basename(entry.path)
            for runtime, pattern in patterns:
                if pattern.fullmatch(name):
                    yield Runtime(name=runtime, version=_version(name), entry=entry)


def _version(name: str) -> str:
    match = re.search(r"\d+\.\d+", name)
    return match[0] if match else ""
