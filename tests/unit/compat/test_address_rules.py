"""Programs that want addresses which no enclave has are told of, unless they are told not to want them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from enclavize.compat.profile import profile_for
from enclavize.compat.report import Severity
from enclavize.compat.rules import check
from enclavize.compat.subject import Subject
from enclavize.rootfs.entry import Entry, FileType
from enclavize.rootfs.tree import Rootfs
from support.entries import program, script

if TYPE_CHECKING:
    from enclavize.oci.image import Image

LIBRARIES = ("libasan.so.8", "libtsan.so.2", "libsan.so.1")
ENTRIES = (
    *(Entry(path=path, type=FileType.DIRECTORY, mode=0o755) for path in ("bin", "lib")),
    *(program(f"bin/{name}") for name in ("dash", "mariadbd", "valgrind", "lisp.run", "mysqld-of-mysql")),
    Entry(path="bin/sh", type=FileType.SYMLINK, mode=0o777, link_target="dash"),
    Entry(path="bin/mysqld", type=FileType.SYMLINK, mode=0o777, link_target="mariadbd"),
    script("bin/entry.sh", '#!/bin/sh\nset -e\nexec "$@"\n'),
    program("lib/ld-linux-x86-64.so.2"),
    *(program(f"lib/{name}", type=3, static=False) for name in LIBRARIES),
    *(
        program(
            f"bin/with-{name}", type=3, static=False, pie=True, needed=(name,),
            interpreter="/lib/ld-linux-x86-64.so.2", runpath="/lib",
        )
        for name in LIBRARIES
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "severities"),
    [
        ("mariadbd", [Severity.WARNING]),
        ("mysqld --user=root", [Severity.WARNING]),
        ("entry.sh mariadbd", [Severity.WARNING]),
        ("mariadbd --innodb-buffer-pool-size=1G", [Severity.WARNING]),
        ("entry.sh mariadbd --innodb_buffer_pool_size_max=1G", []),
        ("mariadbd --loose-innodb-buffer-pool-size-max=1G", []),
        ("mysqld-of-mysql", []),
        ("valgrind /bin/dash", [Severity.WARNING]),
        ("lisp.run", [Severity.WARNING]),
        ("with-libasan.so.8", [Severity.ERROR]),
        ("with-libtsan.so.2", [Severity.ERROR]),
        ("with-libsan.so.1", []),
    ],
)
def test_programs_are_told_of(command: str, severities: list[Severity]) -> None:
    subject = Subject(
        rootfs=Rootfs(ENTRIES, merkle_reader=lambda _entry: b""),
        arguments=tuple(command.split()),
        working_directory="/",
        environment={"PATH": "/bin"},
        uid=0,
        gids=frozenset({0}),
    )
    report = check(subject, cast("Image", SimpleNamespace(name="image")), profile_for("builtin"))
    assert [found.severity for found in report.findings if found.code == "OCC055"] == severities
