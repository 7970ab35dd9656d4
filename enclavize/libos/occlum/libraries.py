"""Occlum's own C libraries, laid over those of the tree: a program must not come upon any other.

Their loaders jump into the LibOS where ordinary ones make system calls. musl's are found in /lib. glibc's are
built to be in /opt/occlum/glibc/lib, and LD_LIBRARY_PATH puts that before the folders of the distribution.

Source: tools/occlum (cmd_init) of occlum/occlum; README.md, "Glibc-based".
"""

from __future__ import annotations

import posixpath
from enum import Enum
from typing import TYPE_CHECKING

from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.libos.occlum.tree_builder import link, toolchain_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.libos.occlum.tree_builder import TreeBuilder
    from enclavize.libos.toolchain import Toolchain

GLIBC_FOLDER = "opt/occlum/glibc/lib"
GLIBC_LOADER = "lib64/ld-linux-x86-64.so.2"
MUSL_LOADER = "lib/ld-musl-x86_64.so.1"

_DISTRIBUTION_FOLDERS = (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
    "/usr/local/lib",
)  # fmt: skip
"""Where the libraries of distributions are; Occlum's glibc does not look there by itself."""

_COMPILER_LIBRARIES = frozenset({"libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1"})
"""Not parts of a C library: copies of a program's own stay."""

LIBRARY_PATH = "LD_LIBRARY_PATH"


class CLibrary(Enum):
    """A C library: the folder of the toolchain, and the name of the loader."""

    MUSL = ("musl", "ld-musl-x86_64.so.1")
    GLIBC = ("glibc", "ld-linux-x86-64.so.2")

    @property
    def folder(self) -> str:
        """Where its files are in a toolchain."""
        return self.value[0]

    @property
    def loader(self) -> str:
        """The file name of its loader."""
        return self.value[1]


def wanted_by(interpreters: Iterable[str]) -> tuple[CLibrary, ...]:
    """Return the C libraries that programs with these interpreters use."""
    names = {posixpath.basename(path) for path in interpreters}
    return tuple(library for library in CLibrary if library.loader in names)


def provided_by(toolchain: Toolchain) -> tuple[CLibrary, ...]:
    """Return the C libraries that a toolchain has."""
    return tuple(library for library in CLibrary if f"{library.folder}/{library.loader}" in toolchain.files)


def lay_over(tree: TreeBuilder, toolchain: Toolchain, libraries: Iterable[CLibrary]) -> None:
    """Put Occlum's C libraries into a tree, in place of its own. Raises EnclavizeError."""
    for library in libraries:
        match library:
            case CLibrary.MUSL:
                _lay_musl(tree, toolchain)
            case CLibrary.GLIBC:
                _lay_glibc(tree, toolchain)


def with_library_path(environment: Iterable[str]) -> list[str]:
    """Return variables whose LD_LIBRARY_PATH begins with Occlum's glibc and ends with the usual folders."""
    rest, own = [], []
    for item in environment:
        name, _, value = item.partition("=")
        if name == LIBRARY_PATH:
            own = [folder for folder in value.split(":") if folder]
        else:
            rest.append(item)
    folders = dict.fromkeys((f"/{GLIBC_FOLDER}", *own, *_DISTRIBUTION_FOLDERS))
    return [*rest, f"{LIBRARY_PATH}={':'.join(folders)}"]


def _lay_musl(tree: TreeBuilder, toolchain: Toolchain) -> None:
    toolchain.require(f"musl/{CLibrary.MUSL.loader}")
    for file in toolchain.below("musl"):
        tree.put(b"lib/" + posixpath.basename(file.path).encode(), toolchain_file(file))


def _lay_glibc(tree: TreeBuilder, toolchain: Toolchain) -> None:
    loader = toolchain.require(f"glibc/{CLibrary.GLIBC.loader}")
    files = {posixpath.basename(file.path): file for file in toolchain.below("glibc")}
    _link_copies(tree, files.keys() - _COMPILER_LIBRARIES - {CLibrary.GLIBC.loader})
    tree.put(GLIBC_LOADER.encode(), toolchain_file(loader))
    for name, file in files.items():
        place = f"{GLIBC_FOLDER}/{name}".encode()
        tree.put(
            place,
            link(f"/{GLIBC_LOADER}".encode()) if name == CLibrary.GLIBC.loader else toolchain_file(file),
        )


def _link_copies(tree: TreeBuilder, names: Iterable[str]) -> None:
    """Make links of the tree's own copies: RPATH and RUNPATH could lead to them."""
    for folder in _DISTRIBUTION_FOLDERS:
        where = folder.strip("/").encode()
        for name in names:
            path = _resolved(tree, where, name.encode())
            node = None if path is None else tree.get(path)
            if path is not None and node is not None and node.type is not InodeType.DIRECTORY:
                tree.put(path, link(f"/{GLIBC_FOLDER}/{name}".encode()))


def _resolved(tree: TreeBuilder, folder: bytes, name: bytes) -> bytes | None:
    where = tree.find_directory(folder)
    if where is None:
        return None
    return where + b"/" + name if where else name
