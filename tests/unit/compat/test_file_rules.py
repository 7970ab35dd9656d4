"""What becomes of an image's files: permissions, mounts, what tools leave out."""

from dataclasses import replace

from enclavize.rootfs.entry import Entry, FileType
from support.checked_image import (
    APP,
    FOO,
    LOADER,
    MUSL,
    STATIC,
    codes,
    elf,
    folder,
    leaving_out,
    program,
    report,
)


def test_permissions_are_looked_at() -> None:
    assert codes(report(replace(STATIC, mode=0o644), command=("/bin/app",))) == [("OCC003", "error")]
    assert codes(report(replace(STATIC, mode=0o4755))) == [("OCC011", "warning")]
    hidden = replace(STATIC, mode=0o711)
    assert codes(report(hidden)) == []
    assert codes(report(hidden, uid=7)) == [("OCC012", "warning")]


def test_folders_are_looked_at_for_permissions_too() -> None:
    secret = replace(folder("bin"), mode=0o700)
    other = program("bin/other")
    assert codes(report(secret, STATIC, other, uid=7)) == [("OCC012", "warning"), ("OCC012", "note")]
    assert codes(report(replace(secret, uid=7), STATIC, other, uid=7)) == []
    assert codes(report(replace(secret, mode=0o710, gid=7), STATIC, other, uid=7)) == []
    shadow = replace(program("lib/shadow"), mode=0o640)
    found = report(STATIC, shadow, uid=7)
    assert codes(found) == [("OCC012", "note")]
    assert "/lib/shadow" in found.findings[0].message
    assert codes(report(STATIC, shadow)) == []


def test_where_everybody_is_root_all_files_can_be_read() -> None:
    found = report(APP, LOADER, FOO, replace(program("lib/shadow"), mode=0o600), libos="occlum", uid=7)
    assert codes(found) == [("OCC037", "note")]
    assert "1 files" in found.findings[0].message


def test_files_behind_mounts_and_left_out_by_tools_are_told() -> None:
    moved = replace(STATIC, path="dev/app")
    assert codes(report(folder("dev"), moved, command=("/dev/app",))) == [("OCC032", "error")]
    hidden = report(STATIC, folder("proc"), program("proc/config"), folder("var"), program("var/page"))
    assert codes(hidden) == [("OCC032", "note")]
    assert codes(report(STATIC, folder("var"), program("var/page"), libos="gramine")) == []
    gramine = report(STATIC, folder("var"), program("var/page"), profile=leaving_out("var"))
    assert codes(gramine) == [("OCC033", "note")]
    assert "/var/page" in gramine.findings[0].message
    inside = report(
        folder("var"), replace(STATIC, path="var/app"), command=("/var/app",), profile=leaving_out("var")
    )
    assert codes(inside) == [("OCC033", "warning")]
    temporary = report(APP, LOADER, FOO, folder("tmp"), program("tmp/data"), libos="occlum@0.21.0")
    assert codes(temporary) == [("OCC032", "note")]
    assert codes(report(APP, LOADER, FOO, folder("tmp"), program("tmp/data"), libos="occlum")) == []


def test_files_that_are_not_the_images_at_run_time_are_told() -> None:
    files = (folder("etc"), program("etc/hosts"), replace(program("etc/resolv.conf"), size=0))
    assert codes(report(STATIC, *files)) == []
    found = report(APP, LOADER, FOO, *files, libos="occlum")
    assert [finding.code for finding in found.findings] == ["OCC035", "OCC034"]
    assert "1 files give way" in found.findings[0].message
    assert found.findings[1].message.startswith("/etc/hosts: ")


def test_special_files_that_get_lost_are_told() -> None:
    fifo = Entry(path="srv", type=FileType.FIFO, mode=0o600)
    device = Entry(path="disk", type=FileType.BLOCK_DEVICE, mode=0o600)
    null = Entry(path="dev/null", type=FileType.CHARACTER_DEVICE, mode=0o666)
    assert codes(report(STATIC, folder("dev"), fifo, null)) == []
    assert codes(report(STATIC, fifo, device)) == [("OCC036", "warning")]
    assert "2 FIFOs" in report(STATIC, fifo, device, libos="gramine").findings[0].message


def test_names_need_a_resolver_file_where_the_libos_makes_none() -> None:
    app = replace(APP, elf=elf(interpreter=MUSL, imports=("getaddrinfo",)))
    empty = (folder("etc"), replace(program("etc/resolv.conf"), size=0))
    assert codes(report(app, LOADER, *empty, libos="occlum@0.21.0")) == [("OCC040", "warning")]
    assert codes(report(app, LOADER, folder("etc"), program("etc/resolv.conf"), libos="occlum@0.21.0")) == []
    assert codes(report(app, LOADER, *empty, libos="occlum")) == []
