"""Find an Occlum. Source: what ``make install`` and the packages of Occlum 0.21 to 0.31 install."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enclavize.libos.toolchain.located import Located, expanded
from enclavize.rootfs.names import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.libos.toolchain.tree import Tree

PREFIXES = ("", "opt/occlum", "opt/*")

_LIBRARIES = ("libocclum-libos", "libocclum-libos_sim", "libocclum-pal", "libocclum-pal_sim")
_PROGRAMS = ("occlum-run", "occlum_exec_client", "occlum_exec_server")
_NEEDED = frozenset({"libocclum-libos", "libocclum-pal", "init"})

_RATLS_LIBRARIES = (
    ("grpc_ratls", "libgrpc_ratls_client.so"),
    ("grpc_ratls", "libhw_grpc_proto.so"),
    ("dcap_lib", "libocclum_dcap.so.0.1.0"),
)
"""Of the init that gets keys by remote attestation, since 0.29.6: folder below ``toolchains``, and name."""

_MUSL_FOLDER = "x86_64-linux-musl/lib"
_MUSL = re.compile(r"ld-musl-x86_64\.so\.1|libc\.so|lib[\w+-]+\.so\.\d+", re.ASCII)
_GLIBC = re.compile(r"ld-linux-x86-64\.so\.2|lib[\w+-]+\.so\.\d+", re.ASCII)
_TEMPLATE = re.compile(r"[\w.-]{1,100}", re.ASCII)
_COMPILER_LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1")
"""Which Occlum's glibc does not have; ``occlum new`` takes them from the distribution."""
_DISTRIBUTION_FOLDERS = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib64", "lib64")

_VERSIONED = re.compile(r"libocclum-(?:libos|pal)(?:_sim)?\.so\.(\d+\.\d+\.\d+)", re.ASCII)


def locate(trees: Sequence[Tree]) -> Located | None:
    """Look for Occlum in ``trees[0]``, and in all of them for its C libraries."""
    tree = trees[0]
    for prefix in expanded(tree, PREFIXES):
        names = tree.names(f"{prefix}build/lib")
        if any(name.startswith(library + ".so") for name in names for library in _LIBRARIES):
            return _located(trees, prefix, names)
    return None


def places(tree: Tree) -> list[str]:
    """Return where ``locate`` looks."""
    return [
        f"{tree.name}{prefix + '/' if prefix else ''}build/lib/libocclum-libos.so*" for prefix in PREFIXES
    ]


def _located(trees: Sequence[Tree], prefix: str, names: Sequence[str]) -> Located:
    tree = trees[0]
    located = Located(libos="occlum")
    for library in _LIBRARIES:
        name = _newest(library, names)
        located.take(f"lib/{library}.so", tree, f"{prefix}build/lib/{name}", needed=library in _NEEDED)
    for program in _PROGRAMS:
        located.take(f"bin/{program}", tree, f"{prefix}build/bin/{program}", needed=False)
    located.take("initfs/bin/init", tree, f"{prefix}build/bin/init")
    located.take("initfs/bin/init_grpc_ratls", tree, f"{prefix}build/bin/init_grpc_ratls", needed=False)
    for folder, name in _RATLS_LIBRARIES:
        located.take(f"grpc_ratls/{name}", tree, f"{prefix}toolchains/{folder}/musl/{name}", needed=False)
    located.take_all("template", tree, f"{prefix}etc/template", _TEMPLATE)
    _take_c_libraries(located, trees, prefix)
    _find_version(located)
    return located


def _newest(library: str, names: Sequence[str]) -> str:
    """Return the link without a version, or else the file with the highest one."""
    plain = f"{library}.so"
    if plain in names:
        return plain
    versioned = [name for name in names if name.startswith(f"{plain}.")]
    return max(versioned, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], default=plain)


def _take_c_libraries(located: Located, trees: Sequence[Tree], prefix: str) -> None:
    for tree, folder in (
        (trees[0], f"{prefix}toolchains/gcc/{_MUSL_FOLDER}"),
        *((tree, f"usr/local/occlum/{_MUSL_FOLDER}") for tree in trees),
    ):
        if "musl/libc.so" not in located.files:
            located.take_all("musl", tree, folder, _MUSL)
    if "musl/libc.so" not in located.files:
        located.missing.append("musl/libc.so")
    elif "musl/ld-musl-x86_64.so.1" not in located.files:
        # musl's loader is its libc.so by another name; the packages put the link into the machine's /lib.
        located.files["musl/ld-musl-x86_64.so.1"] = located.files["musl/libc.so"]
        located.links["musl/ld-musl-x86_64.so.1"] = "libc.so"
    located.take_all("glibc", trees[0], f"{prefix}glibc/lib", _GLIBC)
    if "glibc/libc.so.6" in located.files:
        for tree in trees:
            for folder in _DISTRIBUTION_FOLDERS:
                for library in _COMPILER_LIBRARIES:
                    if f"glibc/{library}" not in located.files:
                        located.take(f"glibc/{library}", tree, f"{folder}/{library}", needed=False)


def _find_version(located: Located) -> None:
    """Take the version from the name of the LibOS, or where only the PAL is installed, of that."""
    for library in _LIBRARIES:
        if (place := located.files.get(f"lib/{library}.so")) is not None:
            name = place[1].path.rpartition("/")[2]
            match = _VERSIONED.fullmatch(name)
            located.version = match[1] if match else ""
            located.version_places = (f"the name of {place[0].name}{printable(place[1].path)}",)
            return
