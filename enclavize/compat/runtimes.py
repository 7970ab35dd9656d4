"""Recognise language runtimes by the files of a program; base images tell their versions in variables."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs

_EXECUTABLES = (
    ("jvm", re.compile(r"java")),
    ("cpython", re.compile(r"python(\d+(\.\d+)?)?")),
    ("node", re.compile(r"node(js)?")),
    ("dotnet", re.compile(r"dotnet")),
    ("erlang", re.compile(r"erlexec|beam(\.smp)?")),
)
_LIBRARIES = (
    ("jvm", re.compile(r"lib(jvm|jli)\.so")),
    ("cpython", re.compile(r"libpython\d+(\.\d+)?[a-z]*\.so.*")),
    ("node", re.compile(r"libnode\.so.*")),
    ("dotnet", re.compile(r"lib(coreclr|hostfxr|hostpolicy)\.so")),
)
_DOTNET_BESIDE = (".dll", ".runtimeconfig.json")
"""Endings of the files beside the start program of an application of .NET ("apphost")."""
_VERSION_VARIABLES = {
    "jvm": "JAVA_VERSION", "cpython": "PYTHON_VERSION", "node": "NODE_VERSION", "dotnet": "DOTNET_VERSION",
}  # fmt: skip
"""What the official images of the runtimes set."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime, as ``RuntimeAdvice`` names it, and the file that tells; ``version`` may be ""."""

    name: str
    version: str
    entry: Entry


def find_runtimes(
    executable: Entry, libraries: Sequence[Entry], rootfs: Rootfs, environment: Mapping[str, str]
) -> tuple[Runtime, ...]:
    """Return the runtimes of a program, each once."""
    found: dict[str, Runtime] = {}
    for name, version, entry in _candidates(executable, libraries, rootfs):
        stated = re.search(
            r"\d+(\.\d+){0,3}", environment.get(_VERSION_VARIABLES.get(name, ""), ""), re.ASCII
        )
        found.setdefault(
            name, Runtime(name=name, version=version or (stated[0] if stated else ""), entry=entry)
        )
    return tuple(found.values())


def _candidates(
    executable: Entry, libraries: Sequence[Entry], rootfs: Rootfs
) -> Iterator[tuple[str, str, Entry]]:
    toolchain = executable.elf.toolchain if executable.elf else ""
    if toolchain.startswith("go"):
        yield "go", toolchain.removeprefix("go"), executable
    elif toolchain.startswith("rustc"):
        yield "rust", toolchain.removeprefix("rustc "), executable
    for patterns, entries in ((_EXECUTABLES, [executable]), (_LIBRARIES, libraries)):
        for entry in entries:
            file_name = posixpath.basename(entry.path)
            for name, pattern in patterns:
                if pattern.fullmatch(file_name):
                    yield name, _version(file_name), entry
    if any(rootfs.get(executable.path + ending) for ending in _DOTNET_BESIDE):
        yield "dotnet", "", executable


def _version(name: str) -> str:
    match = re.search(r"\d+\.\d+", name)
    return match[0] if match else ""
