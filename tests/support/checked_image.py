"""Images of a few files that were never written, and what the check says of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from enclavize.compat.profile import profile_for
from enclavize.compat.report import Silence
from enclavize.compat.rules import check
from enclavize.compat.subject import Subject
from enclavize.rootfs.entry import ElfFacts, Entry, FileType
from enclavize.rootfs.tree import Rootfs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enclavize.compat.profile import Profile
    from enclavize.compat.report import Report
    from enclavize.oci.image import Image

MUSL = "/lib/ld-musl-x86_64.so.1"
GLIBC = "/lib64/ld-linux-x86-64.so.2"


def elf(**facts: Any) -> ElfFacts:
    return ElfFacts(**{"bits": 64, "machine": 62, "type": 3, "pie": True, **facts})


def program(path: str, **more: Any) -> Entry:
    return Entry(path=path, type=FileType.REGULAR, mode=0o755, size=1, **more)


def folder(path: str) -> Entry:
    return Entry(path=path, type=FileType.DIRECTORY, mode=0o755)


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type=FileType.SYMLINK, mode=0o777, link_target=target)


LOADER = program("lib/ld-musl-x86_64.so.1", elf=elf(soname="libc.musl-x86_64.so.1"))
APP = program("bin/app", elf=elf(interpreter=MUSL, needed=("libfoo.so.1", "libc.musl-x86_64.so.1")))
FOO = program("usr/lib/libfoo.so.1", elf=elf(soname="libfoo.so.1", needed=("libc.so",)))
STATIC = program("bin/app", elf=elf(type=2, pie=False, static=True))
FOLDERS = tuple(map(folder, ("bin", "lib", "lib64", "usr", "usr/lib")))


def report(
    *entries: Entry,
    libos: str = "builtin",
    profile: Profile | None = None,
    command: Sequence[str] = ("app",),
    cwd: str = "/",
    uid: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Report:
    subject = Subject(
        rootfs=Rootfs((*FOLDERS, *entries), merkle_reader=lambda _entry: b""),
        arguments=tuple(command),
        working_directory=cwd,
        environment={"PATH": "/usr/bin:/bin", **(environment or {})},
        uid=uid,
        gids=frozenset({uid}),
    )
    return check(subject, cast("Image", SimpleNamespace(name="image")), profile or profile_for(libos))


def leaving_out(*folders: str) -> Profile:
    """Return the profile of a LibOS whose tools leave folders out, as gsc does."""
    profile = profile_for("gramine")
    return replace(profile, files=replace(profile.files, left_out=folders))


REPLACED = Silence(code="OCC035")
"""Files that the LibOS replaces: loaders and C libraries always are."""


def codes(found: Report) -> list[tuple[str, str]]:
    findings = found.without([REPLACED]).findings
    return [(finding.code, finding.severity.value) for finding in findings]
