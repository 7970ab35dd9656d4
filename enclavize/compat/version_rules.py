"""Rules about versions: what files need of their C and C++ libraries, and what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.compat.library_path import libc_family
from enclavize.compat.symbols import MUSL_SINCE
from enclavize.compat.wording import error_about, listed, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from enclavize.compat.profile import Profile
    from enclavize.compat.program import Program
    from enclavize.compat.report import Finding
    from enclavize.rootfs.entry import ElfFacts, Entry

_Builders = tuple[tuple[tuple[int, ...], str], ...]

_DISTRIBUTIONS: _Builders = (
    ((2, 39), "Ubuntu 24.04"), ((2, 36), "Debian 12"), ((2, 35), "Ubuntu 22.04"), ((2, 31), "Debian 11"),
    ((2, 27), "Ubuntu 18.04"), ((2, 17), "CentOS 7 (manylinux2014)"),
)  # fmt: skip
"""glibc, and who has it; the newest first."""
_COMPILERS: _Builders = (
    ((3, 4, 30), "GCC 12"), ((3, 4, 28), "GCC 10"), ((3, 4, 25), "GCC 8"), ((3, 4, 19), "GCC 4.8"),
)  # fmt: skip
"""GLIBCXX, and who has it."""
_RELR, _RELR_SINCE = "relative relocations (DT_RELR)", (1, 2, 4)
"""WHATSNEW of musl. Programs for glibc name a version of symbols for it."""


def version_findings(users: Iterable[Entry], program: Program, profile: Profile) -> Iterator[Finding]:
    """Compare what ``users`` need with the LibOS's own libraries, or else with those of the image."""
    if program.executable is None or program.executable.elf is None:
        return
    family = libc_family(program.executable.elf.interpreter)
    image = _defined(program.interpreter, *program.libraries)
    bundled = _defined(*program.bundled).keys() - {"GLIBC"}
    own = {name: version for name, version in profile.libc.symbols_of(family).items() if name not in bundled}
    for entry in users:
        if entry.elf is None:
            continue
        for text in entry.elf.versions:
            name, needed = _parsed(text)
            if name in own:
                if needed > own[name]:
                    yield error_about(
                        "OCC016" if name == "GLIBC" else "OCC027", entry,
                        f"needs {text}; {profile.title} has {_text(name, own[name])}",
                        _older(name, own),
                    )  # fmt: skip
            elif name in image and needed > image[name][0]:
                version, library = image[name]
                yield error_about(
                    "OCC028", entry,
                    f"needs {text}; {name_of(library)} has {_text(name, version)}",
                    "build the program and its libraries on one distribution",
                )  # fmt: skip
        if newer := _newer_symbols(entry.elf, family, profile):
            musl = ".".join(map(str, profile.libc.musl_version))
            yield error_about(
                "OCC017", entry,
                f"needs {listed(newer)}, which musl {musl} of "
                f"{profile.title} lacks",
                "build it on Alpine 3.11, which has musl 1.1.24",
            )  # fmt: skip


def _older(name: str, own: dict[str, tuple[int, ...]]) -> str:
    """Return where a program can be built that needs no more than the LibOS has."""
    if name == "GLIBC":
        return f"build it on an older distribution: {_newest(_DISTRIBUTIONS, name, own[name])}"
    return f"build it with an older compiler: {_newest(_COMPILERS, 'GLIBCXX', own.get('GLIBCXX', ()))}"


def _newest(builders: _Builders, family: str, limit: tuple[int, ...]) -> str:
    """Name the newest one that has no more than ``limit``, or else the oldest one."""
    version, who = next((item for item in builders if item[0] <= limit), builders[-1])
    return f"{who} has {_text(family, version)}"


def is_newer(elf: ElfFacts, family: str, profile: Profile) -> bool:
    """Tell whether a file of this family needs more than the LibOS's own libraries have."""
    own = profile.libc.symbols_of(family)
    needed = map(_parsed, elf.versions)
    return bool(_newer_symbols(elf, family, profile)) or any(
        name in own and version > own[name] for name, version in needed
    )


def _newer_symbols(elf: ElfFacts, family: str, profile: Profile) -> list[str]:
    """Return what came into musl after the LibOS's own, and the file cannot do without."""
    limit = profile.libc.musl_version
    if family != "musl" or not any(limit):
        return []
    relocations = [_RELR] if elf.relative_relocations and limit < _RELR_SINCE else []
    return relocations + [name for name in elf.imports if MUSL_SINCE.get(name, (0,)) > limit]


def _defined(*libraries: Entry | None) -> dict[str, tuple[tuple[int, ...], Entry]]:
    """Return the highest version of each family that libraries define, and which does."""
    found: dict[str, tuple[tuple[int, ...], Entry]] = {}
    for entry in libraries:
        for text in entry.elf.defines if entry and entry.elf else ():
            name, version = _parsed(text)
            if entry and (name not in found or version > found[name][0]):
                found[name] = version, entry
    return found


def _parsed(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, version = text.rpartition("_")
    return name, tuple(map(int, version.split(".")))


def _text(name: str, version: tuple[int, ...]) -> str:
    return f"{name}_{'.'.join(map(str, version))}"
