"""What of an image a manifest lists, and what it leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.errors import UsageError
from enclavize.libos.gramine.selection import (
    Patterns,
    manifest_part,
    must_be_listed,
    selection_of,
    start_time,
)
from enclavize.libos.gramine.trusted_files import trusted_files

from .test_trusted_files import file, link, tree

if TYPE_CHECKING:
    from enclavize.rootfs.tree import Rootfs

DEBIAN = (
    file("usr/lib/os-release"), link("etc/os-release", "../usr/lib/os-release"), link("lib", "usr/lib"),
    file("usr/share/doc/base/copyright"), file("usr/share/man/man1/ls.1"), file("var/lib/dpkg/status"),
    file("usr/share/zoneinfo/Europe/Berlin"), file("usr/share/zoneinfo/right/Europe/Berlin"),
    file("usr/lib/x86_64-linux-gnu/libc.so.6"), file("usr/lib/x86_64-linux-gnu/libc.a"),
    file("usr/include/stdio.h"), file("usr/share/locale/de/x.mo"), file("etc/passwd"),
)  # fmt: skip


def listed(rootfs: Rootfs, table: dict[str, object] | None = None) -> list[str]:
    return list(trusted_files(rootfs, (), selection_of(rootfs, table or {})).hashes)


@pytest.mark.parametrize(
    ("pattern", "means", "does_not"),
    [
        ("/usr/share/doc", ["/usr/share/doc", "/usr/share/doc/a/b"], ["/usr/share/docs", "/x/usr/share/doc"]),
        ("/usr/*/doc", ["/usr/share/doc/a"], ["/usr/a/b/doc", "/usr/doc"]),
        ("/usr/lib/**/*.a", ["/usr/lib/x.a", "/usr/lib/a/b/x.a"], ["/usr/lib/x.ab", "/usr/libx.a"]),
        ("/**/node_modules", ["/node_modules/x", "/a/b/node_modules/x"], ["/a/node_modules2"]),
        ("/srv/**", ["/srv/x", "/srv/x/y"], ["/srv", "/srv2/x"]),
        ("/a?c", ["/abc"], ["/a/c", "/ac"]),
        ("/a[bc]d", ["/abd", "/acd"], ["/aed"]),
        ("/a[!bc]d", ["/aed"], ["/abd", "/a/d"]),
        ("/a.c", ["/a.c"], ["/abc"]),
        ("/a(b|c)+", ["/a(b|c)+"], ["/ab"]),
        ("/a[b", ["/a[b"], ["/ab"]),
    ],
)
def test_patterns(pattern: str, means: list[str], does_not: list[str]) -> None:
    patterns = Patterns((pattern,))
    assert [path for path in means if not patterns.match(path)] == []
    assert [path for path in does_not if patterns.match(path)] == []


def test_no_pattern_means_nothing() -> None:
    assert not Patterns(()).match("/x")


def test_of_a_distribution_what_no_server_opens_is_left_out() -> None:
    rootfs = tree(*DEBIAN)
    assert listed(rootfs) == [
        "/etc/os-release", "/etc/passwd", "/usr/lib/os-release", "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/share/locale/de/x.mo", "/usr/share/zoneinfo/Europe/Berlin",
    ]  # fmt: skip
    assert "/usr/share/doc" in selection_of(rootfs, {}).patterns
    assert trusted_files(rootfs, (), selection_of(rootfs, {})).not_selected == 6


def test_an_image_with_a_compiler_keeps_headers_and_static_libraries() -> None:
    found = listed(tree(*DEBIAN, file("usr/bin/gcc-12"), link("usr/bin/gcc", "gcc-12")))
    assert {"/usr/include/stdio.h", "/usr/lib/x86_64-linux-gnu/libc.a"} <= set(found)
    assert "/usr/share/doc/base/copyright" not in found


def test_an_image_that_is_no_distribution_keeps_everything() -> None:
    rootfs = tree(*DEBIAN[2:])
    assert len(listed(rootfs)) == len(DEBIAN) - 3
    assert selection_of(rootfs, {}).patterns == ()


def test_keep_and_leave_out() -> None:
    found = listed(tree(*DEBIAN), {"keep": ["/var/lib/dpkg"], "leave-out": ["/usr/share/locale", "/etc/**"]})
    assert "/var/lib/dpkg/status" in found
    assert "/usr/share/locale/de/x.mo" not in found
    assert "/etc/passwd" in found  # whatever is left out


def test_only_what_was_opened() -> None:
    opened = [
        "/lib/x86_64-linux-gnu/libc.so.6", "/var/lib/dpkg/status", "/usr/share/zoneinfo", "/tmp/gone",
        "/bin/sh",
    ]  # fmt: skip
    entries = (*DEBIAN, file("usr/bin/dash"), link("usr/bin/sh", "dash"), link("bin", "usr/bin"))
    assert listed(tree(*entries), {"only-opened": opened, "keep": ["/var/lib/dpkg"]}) == [
        "/etc/os-release", "/etc/passwd", "/usr/bin/dash", "/usr/bin/sh",
        "/usr/lib/x86_64-linux-gnu/libc.so.6", "/var/lib/dpkg/status",
    ]  # fmt: skip
    assert selection_of(tree(*entries), {"only-opened": []}).patterns == ("/**",)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"keep": "/x"}, "keep is not a list of texts"),
        ({"leave-out": [1]}, "leave-out is not a list of texts"),
        ({"leave-out": ["usr/share/doc"]}, "'usr/share/doc' is not absolute"),
        ({"leave-out": ["/[z-a]"]}, r"'/\[z-a\]' is no pattern"),
    ],
)
def test_what_is_no_pattern_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        selection_of(tree(*DEBIAN), table)


def test_the_manifest_gets_none_of_it() -> None:
    table = {"keep": [], "leave-out": [], "only-opened": [], "sys": {"stack": {"size": "2M"}}}
    assert manifest_part(table) == {"sys": {"stack": {"size": "2M"}}}


def test_only_below_etc_every_file_is_listed() -> None:
    assert must_be_listed("/etc/ld.so.preload")
    assert not must_be_listed("/usr/share/doc/x")


def test_the_time_of_a_long_list_grows_with_its_square() -> None:
    assert start_time(20_000) == pytest.approx(4 * start_time(10_000))
    assert 1.5 < start_time(10_000) < 2.5
