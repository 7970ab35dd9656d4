"""Find a Gramine. Source: the installation of Gramine 1.8 and 1.9, from packages and by meson."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enclavize.libos.toolchain.closure import add_closure
from enclavize.libos.toolchain.located import Located, expanded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from enclavize.libos.toolchain.tree import Tree

PREFIXES = ("", "usr/local", "usr", "opt/*", "gramine/meson_build_output")
"""Of which the first that has a Gramine is taken. The last is where Gramine Shielded Containers puts it."""

LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "lib64", "lib")
"""Of Debian, of Fedora, of Alpine."""

_MARKER = "libsysdb.so"
_ATTESTATION = r"lib(?:ra_tls|secret_prov)_attest\.so"
_GLIBC = re.compile(rf"ld-linux-x86-64\.so\.2|ld\.so|lib\w+\.so\.\d+|{_ATTESTATION}", re.ASCII)
"""Names that programs ask for; what is left out serves the linker."""
_MUSL = re.compile(rf"ld-musl-x86_64\.so\.1|libc\.so|{_ATTESTATION}", re.ASCII)

_PYTHON_FOLDERS = ("site-packages", "dist-packages")
_DIST_INFO = re.compile(r"graminelibos(-[^/]*)?\.dist-info", re.ASCII)
_PYTHON = re.compile(r"python3(\.\d+)?", re.ASCII)
_PKGCONFIG = ("ra_tls_gramine.pc", "secret_prov_gramine.pc")
_VERSION_LINE = re.compile(r"^Version:[ \t]*(\S+)[ \t]*$", re.MULTILINE)


def locate(trees: Sequence[Tree]) -> Located | None:
    """Look for Gramine in ``trees[0]``, and in all of them for what its SGX loader needs of the host."""
    tree = trees[0]
    for prefix in expanded(tree, PREFIXES):
        for folder in LIBRARY_FOLDERS:
            package = f"{prefix}{folder}/gramine"
            if tree.find(f"{package}/{_MARKER}") is not None:
                return _located(trees, prefix, package)
    return None


def places(tree: Tree) -> list[str]:
    """Return where ``locate`` looks."""
    folders = ",".join(LIBRARY_FOLDERS)
    return [
        f"{tree.name}{prefix + '/' if prefix else ''}{{{folders}}}/gramine/{_MARKER}" for prefix in PREFIXES
    ]


def _located(trees: Sequence[Tree], prefix: str, package: str) -> Located:
    tree = trees[0]
    located = Located(libos="gramine", read_version=_version_in)
    for path in ("libsysdb.so", "direct/libpal.so", "direct/loader", "sgx/libpal.so", "sgx/loader"):
        located.take(path, tree, f"{package}/{path}")
    located.find_links("direct", ["libpal.so", "loader"])
    located.take_all("runtime/glibc", tree, f"{package}/runtime/glibc", _GLIBC)
    located.take_all("runtime/musl", tree, f"{package}/runtime/musl", _MUSL)
    if not any(path.startswith("runtime/") for path in located.files):
        located.missing.append("runtime/glibc/libc.so.6")
    if "sgx/loader" in located.files:
        add_closure(located, "host", "sgx/loader", trees, [f"{prefix}{folder}" for folder in LIBRARY_FOLDERS])
    candidates = list(_version_places(tree, prefix))
    located.version_places = tuple(tree.name + place for place in candidates)
    located.version_files = [(tree, found) for place in candidates if (found := tree.find(place))]
    return located


def _version_places(tree: Tree, prefix: str) -> Iterator[str]:
    """Yield the files that may say the version: of the Python package, and of pkg-config."""
    for library in ("lib", "lib64", "local/lib"):
        for python in filter(_PYTHON.fullmatch, tree.names(f"{prefix}{library}")):
            for packages in _PYTHON_FOLDERS:
                folder = f"{prefix}{library}/{python}/{packages}"
                for info in filter(_DIST_INFO.fullmatch, tree.names(folder)):
                    yield f"{folder}/{info}/METADATA"
    for library in LIBRARY_FOLDERS:
        for name in _PKGCONFIG:
            yield f"{prefix}{library}/pkgconfig/{name}"


def _version_in(text: str) -> str:
    """Read METADATA (Core Metadata, "Version") or a pkg-config file; both write it the same way."""
    match = _VERSION_LINE.search(text)
    # An unreleased version is 1.9post~UNRELEASED for Gramine's build and 1.9post for Python.
    return match[1].replace("~UNRELEASED", "").replace("~", "") if match else ""
