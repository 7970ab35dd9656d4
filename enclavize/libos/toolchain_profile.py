"""What a toolchain's LibOS can run: the profile of its version, with the C libraries that are there.

One version of Occlum has other C libraries on other distributions: 0.31.0 has glibc 2.31 in its image for
Ubuntu 20.04 and 2.35 in that for 22.04 (occlum/occlum, tag v0.31.0, tools/docker/Dockerfile.ubuntu22.04), and
packages without any.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.compat.profile import Support, profile_for
from enclavize.rootfs.elf import ElfScanner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.compat.profile import Profile
    from enclavize.libos.toolchain import Toolchain

_LIBRARIES = ("libc.so.6", "libstdc++.so.6", "libgcc_s.so.1")
"""What defines the versions of symbols that profiles name."""


def profile_of(toolchain: Toolchain, extra: Iterable[Profile] = ()) -> Profile:
    """Return the profile for the version that a toolchain holds, true to its own C libraries.

    A library that defines no versions changes nothing. Profiles in ``extra`` come before those of the
    package. Raises UsageError.
    """
    profile = profile_for(toolchain.libos, extra, version=toolchain.version)
    libc = profile.libc
    if not libc.own:
        return profile
    if libc.glibc is not Support.NO and not toolchain.below("glibc"):
        return replace(profile, title=f"{profile.title} without glibc", libc=replace(libc, glibc=Support.NO))
    glibc = _defined(toolchain, "glibc")
    return replace(
        profile,
        libc=replace(
            libc,
            glibc_symbols=glibc if "GLIBC" in glibc else libc.glibc_symbols,
            musl_symbols=_defined(toolchain, "musl") or libc.musl_symbols,
        ),
    )


def _defined(toolchain: Toolchain, folder: str) -> dict[str, tuple[int, ...]]:
    """Return the highest version of each family that the libraries of a folder define."""
    highest: dict[str, tuple[int, ...]] = {}
    for name in _LIBRARIES:
        if (file := toolchain.files.get(f"{folder}/{name}")) is None:
            continue
        scanner = ElfScanner()
        with file.open() as stream:
            scanner.feed(stream.read())
        facts = scanner.facts()
        for text in facts.defines if facts else ():
            family, _, number = text.rpartition("_")
            version = tuple(map(int, number.split(".")))
            highest[family] = max(version, highest.get(family, ()))
    return highest
